"""Packed files: unpacked by their names; what is damaged, cut off or of several files is refused in one line."""
import sys
from pathlib import Path

import numpy as np
import pytest
from packed import BETWEEN, PACK, zipped
from raw_data import idx, shard_bytes, table, text

import mrdl
from mrdl.data import blocks
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.storage.packing import OPENERS


def rows_of(data) -> list:
    found = [blocks.unpack(line).arrays() for shard in shard_bytes(data) for line in shard.splitlines()]
    return sorted((int(y), *x) for block in found for x, y in zip(block["x"].tolist(), block["y"]))


@pytest.mark.parametrize("end", OPENERS)
def test_a_packed_file_has_the_rows_of_the_plain_one(tmp_path, inline, end):
    lines = table(300)
    data = b"\n".join(lines) + b"\n"
    half = data.index(b"\n", len(data) // 2) + 1
    streams = ([PACK[end](data)] if end == ".zip" else [PACK[end](data[:half]), BETWEEN[end], PACK[end](data[half:])])
    path = text(tmp_path, b"".join(streams), "in.csv" + end.upper())
    made = mrdl.prepare(path, str(tmp_path / "data"), inline, label="0", shards=2)
    assert rows_of(made) == sorted(tuple(map(int, line.split(b","))) for line in lines)


@pytest.mark.parametrize("end, runner", [*((end, "inline") for end in OPENERS), (".gz", "local"), (".zst", "local")])
def test_a_packed_file_that_is_cut_off_or_damaged_is_refused_in_one_line(tmp_path, end, runner):
    data = PACK[end](b"\n".join(table(5000)) + b"\n")
    middle = 2 * len(data) // 5
    flipped = data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1:]
    more = [data + b"x" + data[1:]] if end in BETWEEN else []
    for number, wrong in enumerate([data[:-5], flipped, *more][:3 if runner == "inline" else 1]):
        path = str(tmp_path / f"in.csv{end}")
        Path(path).write_bytes(wrong)
        with pytest.raises((DataError, mrdl.JobFailed), match=r"in.csv\S*: cannot be read \(.*\)$") as error:
            mrdl.prepare(path, str(tmp_path / f"data{number}"), runner)
        assert "Traceback" not in str(error.value)
        with pytest.raises(DataError, match="cannot be read"):      # in this process
            mrdl.infer_schema(path, runner)


@pytest.mark.parametrize("end", OPENERS)
def test_text_with_the_name_of_a_packed_file_is_told_so(tmp_path, end):
    path = tmp_path / f"in.csv{end}"
    path.write_bytes(b"a,b,c\n1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match=f"in.csv{end}: cannot be read .it is text, and not packed as {end} says: give it another name"):
        sniff([str(path)])


def test_a_zip_must_hold_one_file_and_no_secret(tmp_path):
    for names, reason in ((("a.csv", "b.csv"), r"a zip of 2 files \(a.csv, b.csv\)"), (("__MACOSX/a",), "an empty zip")):
        with pytest.raises(DataError, match=f"x.zip: cannot be read .{reason}"):
            sniff([text(tmp_path, zipped(b"1,2\n", *names), "x.zip")])
    secret = bytearray(zipped(b"1,2\n", "a.csv"))
    secret[secret.rindex(b"PK\1\2") + 8] |= 1
    with pytest.raises(DataError, match="an encrypted zip"):
        sniff([text(tmp_path, bytes(secret), "x.zip")])
    good = zipped(b"1,2\n", "é.csv")
    for damaged in good[good.index(b"PK", 1) + 1:], good.replace("é".encode(), b"\xff\xff", 1):
        with pytest.raises(DataError, match="x.zip: cannot be read .a damaged zip: "):
            sniff([text(tmp_path, damaged, "x.zip")])


@pytest.mark.parametrize("end", OPENERS)
def test_what_is_packed_is_told_by_its_content_too(tmp_path, end):
    data = PACK[end](b"1,2\n")
    for name, again in (("in.csv", ""), ("in.csv.gz", " once more"), ("in.csv.zst", " once more")):
        path = str(tmp_path / name)
        Path(path).write_bytes(PACK[name[6:]](data) if again else data)
        with pytest.raises(DataError, match=rf"{name}: is compressed{again}: unpack it first, or let its name end in \{end}"):
            sniff([path])


def test_images_may_be_packed_by_any_of_them(tmp_path):
    x = np.arange(24, dtype="u1").reshape(6, 2, 2)
    for end in (".zst", ".xz"):
        folder = tmp_path / end
        folder.mkdir()
        path = text(folder, PACK[end](idx(x)), "a-images-idx3-ubyte" + end)
        text(folder, PACK[end](idx(np.arange(6, dtype="u1"))), "a-labels-idx1-ubyte" + end)
        schema = sniff([path])
        assert (schema.kind, schema.shape, schema.target, schema.counts) == ("idx", [2, 2], [], [6])


def test_without_the_package_that_unpacks_zst_an_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(DataError, match=r"in.csv.zst: cannot be read .to unpack .zst: pip install 'mrdl\[zstd\]'"):
        sniff([text(tmp_path, PACK[".zst"](b"1,2\n"), "in.csv.zst")])
