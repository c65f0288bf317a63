"""Files that are no text, by their first bytes: what they are, and what to do with them."""
import re
import zipfile
from shlex import quote
from typing import BinaryIO

from mrdl.data.corpus import PACKED, check_encoding
from mrdl.data.sources import DataError
from mrdl.storage.packing import suffix

FIRST = 512                     # bytes that tell: as many as a tar's first header has
UNPACK = "unpack it first"
SAVE = "save it as CSV there: a sheet is a file"
PANDAS = "pandas.read_%s({1!r}).to_csv('table.csv', index=False)"

#: (where, bytes, what, what to do: {0} is the path in a shell, {1!r} in Python)
SIGNS = (
    (0, rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file", SAVE),
    (0, rb"%PDF-", "a PDF", "its tables must be extracted by another program, and saved as CSV"),
    (0, rb"\x89HDF\r\n\x1a\n", "HDF5", "convert it in Python: " + PANDAS % "hdf"),
    (0, rb"SQLite format 3\0", "an SQLite database", "convert a table: sqlite3 -header -csv {0} 'select * from NAME' > table.csv"),
    (0, rb"\x80[\x02-\x05]", "a pickle", "if you trust it, as reading it can run any program, convert it in Python: " + PANDAS % "pickle"),
    (0, rb"ARROW1\0\0", "Arrow (Feather)", "convert it in Python: pandas.read_feather({1!r}).to_parquet('table.parquet')"),
    (0, rb"\x93NUMPY", "a single NumPy array", "convert it in Python: numpy.savez('x.npz', x=numpy.load({1!r}))"),
    (0, rb"MATLAB [57]", "a MATLAB file", "convert it in Python: numpy.savez('x.npz', **scipy.io.loadmat({1!r}))"),
    (0, rb"RD[AX][23]\n|[XA]\n\0\0\0", "an R file", "save it as CSV in R: write.csv(table, 'table.csv', row.names=FALSE)"),
    (0, rb"<stata_dta>", "a Stata file", "convert it in Python: " + PANDAS % "stata"),
    (0, rb"\$FL[23]", "an SPSS file", "convert it in Python: " + PANDAS % "spss"),
    (0, rb"SEQ[\x04-\x06]|RCF\x01", "a SequenceFile or RCFile of Hadoop", "let Hive write it as text or Parquet: create table .. stored as parquet as select .."),
    (257, rb"ustar", "a tar archive", UNPACK + ": tar xf {0}"),
    (0, rb"7z\xbc\xaf'\x1c|Rar!\x1a\x07", "an archive", UNPACK),
    (0, rb"\x04\"M\x18|\x1f\x9d|\x89LZO\0|\xff\x06\0\0sNaPpY", "packed by lz4, compress, lzop or snappy", UNPACK + ", or pack it as .zst"),
    (0, rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*", "an image", "save images as arrays: numpy.savez('x.npz', x=images, y=labels)"),
    (0, rb"(?i)\s*<(!doctype\s+html|html|table)\b", "an HTML page, perhaps of a failed download",
     "download the file itself, or save the page's table as CSV: pandas.read_html({1!r})[0].to_csv('table.csv', index=False)"),
    (0, rb"\s*<\?xml\b", "XML", "convert it in Python: " + PANDAS % "xml"),
)
#: what a zip is, by the names in it
ZIPS = (("xl/", "an Excel file", SAVE), ("word/", "a Word file", SAVE), ("content.xml", "an OpenDocument file", SAVE),
        (".npy", "NumPy arrays", "let its name end in .npz"))


def check(path: str, file: BinaryIO) -> None:
    """DataError where a file is none of text in UTF-8; reads its first bytes."""
    first = file.read(FIRST)
    check_encoding(path, first, readable=True)
    what, hint = next(((what, hint) for at, sign, what, hint in SIGNS if re.match(sign, first[at:])), ("", ""))
    end = next((end for magic, (_, end) in PACKED.items() if first.startswith(magic)), None)
    if end == ".zip":
        what, hint = _in_zip(file)
    if what:
        raise DataError(f"{path}: is {what}, which mrdl does not read; {hint.format(quote(path), path)}")
    if end:
        again = " once more" * bool(suffix(path))
        raise DataError(f"{path}: is compressed{again}: unpack it first, or let its name end in {end}{suffix(path)}")


def _in_zip(file: BinaryIO) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "", ""
    return next(((what, hint) for part, what, hint in ZIPS if any(part in name for name in names)), ("", ""))
