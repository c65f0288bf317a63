"""Files that mrdl does not read: what they are is said, and what to do."""
import io
import pickle
import re
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest
from raw_data import text

from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError


def zip_of(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"what is in it")
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"), io.BytesIO())
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.eye(3))
    return file.getvalue()


CSV = "a,b,y\n1,2,0\n3,4,1\n"
PLAIN_16 = r"is UTF-16{}, and text must be UTF-8; convert it with: iconv -f UTF-16{} -t UTF-8 \S*x.csv > utf8.csv; or say so: --encoding utf-16{}$"


@pytest.mark.parametrize("content, told", [
    (CSV.encode("utf-16"), PLAIN_16.format("", "", "")), (b"\xfe\xff" + CSV.encode("utf-16-be"), PLAIN_16.format("", "", "")),
    (CSV.encode("utf-16-le"), PLAIN_16.format("LE", "LE", "le")), (CSV.encode("utf-16-be"), PLAIN_16.format("BE", "BE", "be")),
    (CSV.encode("utf-32"), "is UTF-32, .* iconv -f UTF-32"), (b"\0\0\xfe\xff" + CSV.encode("utf-32-be"), "is UTF-32, .* iconv -f UTF-32"),
    (zip_of("[Content_Types].xml", "xl/workbook.xml"), "is an Excel file, which mrdl does not read; save it as CSV"),
    (zip_of("mimetype", "content.xml"), "an OpenDocument file"), (zip_of("word/document.xml"), "a Word file"),
    (zip_of("x.npy"), r"NumPy arrays, .* end in .npz"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "an old Excel"),
    (b"%PDF-1.7\n1 0 obj", "is a PDF"), (pickle.dumps([1, 2, 3]), r"is a pickle, .*; if you trust it.* pandas.read_pickle\('\S*x.csv'\)"),
    (b"\x89HDF\r\n\x1a\n" + bytes(9), "is HDF5.* pandas.read_hdf"), (b"SQLite format 3\0", "SQLite database.* sqlite3 -header -csv"),
    (tar(), r"a tar archive.* tar xf \S*x.csv"), (array(), r"a single NumPy array.*numpy.load\('"), (b"ARROW1\0\0" + bytes(9), "Feather"),
    (b"\n<!DOCTYPE html><html>", "an HTML page"), (b"<?xml version='1.0'?>", "is XML"), (b"\x89PNG\r\n\x1a\n", "an image"),
    (b"SEQ\6\x19org.apache", "a SequenceFile"), (b"RDX3\nX\n", "an R file.* write.csv"), (b"7z\xbc\xaf'\x1c", "an archive"),
    (b"\x04\"M\x18d@", "lz4"),
])
def test_what_is_no_text_is_named_with_what_to_do(tmp_path, content, told):
    with pytest.raises(DataError, match=re.compile("x.csv: .*" + told)) as error:
        sniff([text(tmp_path, content, "x.csv")])
    assert "\n" not in str(error.value)


def test_the_same_is_said_of_what_is_packed(tmp_path):
    with pytest.raises(DataError, match="x.tar.gz: is a tar archive"):
        sniff([text(tmp_path, tar(), "x.tar.gz")])


def test_an_sqlite_file_is_one_indeed(tmp_path):
    database = sqlite3.connect(tmp_path / "x.csv")
    database.execute("create table t (a)")
    database.commit()
    database.close()
    with pytest.raises(DataError, match="SQLite"):
        sniff([str(tmp_path / "x.csv")])


@pytest.mark.parametrize("content", [CSV, "%,b\n1,2\n", "<b>,b\n1,2\n", "SEQ,b\n1,2\n", "PK,b\n1,2\n", "XA,b\n1,2\n", "x\n1\n"])
def test_text_that_begins_alike_is_read(tmp_path, content):
    assert sniff([text(tmp_path, content, "x.csv")]).kind == "text"
