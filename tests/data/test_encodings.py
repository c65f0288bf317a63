"""Text in other encodings than UTF-8: read by every way to the bits of the same text in UTF-8, and what cannot be one is told."""
import codecs
import gzip
import random
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from command_line import mrdl as command
from raw_data import text
from raw_rows import joined, predicted, saved, through
from shards import rows

import mrdl
from mrdl.data.readers import encoding as encodings
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
from mrdl.data.tables.table import Table
from mrdl.driver.preparation.describe import infer_schema
from mrdl.driver.preparation.prepare import prepare
from mrdl.driver.preparation.refer import refer
from mrdl.models import frames
from mrdl.runners import splits
from mrdl.runners.cluster import Cluster
from mrdl.storage.pieces import LONGEST, Lines, Long, bare, read_pieces

RNG = random.Random(0)
HEADER = "höhe,stadt,wann,y\n"
LINES = [f"{RNG.randrange(900) / 10},{RNG.choice(['Köln', 'Orléans', 'Bonn', 'Ångström'])},{RNG.randint(1, 28)} {RNG.choice(['Jan', 'MAY'])} 2024,"
         f"{RNG.choice(['ja', 'nö'])}\n" for _ in range(200)]
CONTENT = HEADER + "".join(LINES)


def bytes_in(folder: Path, encoding: str, content: str = CONTENT, name: str = "t.csv") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content.encode(encoding))
    return str(folder / name)


def examples(data):
    return sorted(np.concatenate([rows(shard)["x"].astype("f4") for shard in data.shards]).tolist())


@pytest.fixture(scope="module")
def plain(tmp_path_factory, inline):
    """The dataset of the text in UTF-8, and a model of it."""
    folder = tmp_path_factory.mktemp("plain")
    path = bytes_in(folder, "utf-8")
    data = prepare(path, str(folder / "data"), inline, label="y")
    return data, saved(data, folder / "run"), path, predicted(saved(data, folder / "run2"), path, folder / "out", keep=["stadt", "wann"])


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_text_has_the_bits_of_utf_8_by_every_way(tmp_path, plain, inline, local, monkeypatch, encoding):
    monkeypatch.setattr(splits, "SMALLEST_SPLIT", 500)
    data, _, _, lines = plain
    path = bytes_in(tmp_path, encoding)
    made = prepare(path, str(tmp_path / "data"), inline, label="y", encoding=encoding)
    assert examples(made) == examples(data) and made.columns == data.columns and made.uid != data.uid
    assert made.table["form"] == {**data.table["form"], "encoding": encoding}
    run = saved(made, tmp_path / "run")
    assert predicted(run, path, tmp_path / "1", local, keep=["stadt", "wann"]) == lines        # as the schema says
    assert sorted(frames.examples(mrdl.load_model(run), path).tolist()) == examples(data)
    assert examples(refer(path, str(tmp_path / "raw"), inline, label="y", encoding=encoding, shards=3)) == examples(data)
    with Cluster("inline", 3) as cluster:       # cut into splits, or whole
        assert predicted(run, path, tmp_path / "2", cluster, keep=["stadt", "wann"]) == lines
        assert len(list((tmp_path / "2").iterdir())) == (4 if encoding == "cp1252" else 2)
        errors = predicted(run, bytes_in(tmp_path / "bad", encoding, CONTENT + "1,2\n"), tmp_path / "3", cluster, keep=["stadt"])
    assert errors[-1][-1].startswith("wrong field count (2 for 4)")
    for coding in encoding, None:
        assert through(run, Path(path).read_bytes(), kept=["stadt", "wann"], encoding=coding) == joined(tmp_path / "1")
    assert through(run, CONTENT.encode(), kept=["stadt", "wann"]) == joined(tmp_path / "1")         # it is UTF-8, however the schema


def test_json_lines_and_packed_files_have_encodings_too(tmp_path, plain, inline, capsys):
    lines = "".join('{{"höhe": {}, "stadt": "{}", "wann": "{}", "y": "{}"}}\n'.format(*line.rstrip().split(",")) for line in LINES)
    for encoding in "latin-1", "utf-16-be":
        path = bytes_in(tmp_path, encoding, lines, f"{encoding}.jsonl")
        with pytest.raises(DataError, match="not UTF-8.*; if the text has another encoding, say so|is UTF-16BE.*--encoding utf-16be"):
            prepare(path, str(tmp_path / "none"), inline)
        data = prepare(path, str(tmp_path / encoding), inline, label="y", encoding=encoding)
        assert examples(data) == examples(plain[0]) and data.table["form"] == {"encoding": encodings.known(encoding)}
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        file.write(CONTENT.encode("cp1252"))
    status, out, _ = command(capsys, "describe", str(tmp_path / "t.csv.gz"), "--encoding", "cp1252", "--label", "y", "--out", str(tmp_path / "schema.json"))
    assert status == 0 and "Orléans" in out and Table.load((tmp_path / "schema.json").read_bytes()).form["encoding"] == "cp1252"
    data = prepare(str(tmp_path / "t.csv.gz"), str(tmp_path / "packed"), inline, label="y", schema=str(tmp_path / "schema.json"))
    assert examples(data) == examples(plain[0])
    assert "is not cp1252, as the schema says" in "".join(sniff([plain[2]], known=data and Table.load((tmp_path / "schema.json").read_bytes())).notes)


def test_what_has_no_encoding_is_told(tmp_path, plain):
    path = bytes_in(tmp_path, "utf-16")
    with pytest.raises(DataError, match="is UTF-16, and text must be UTF-8; convert it with: .*; or say so: --encoding utf-16$"):
        infer_schema(path, "inline")
    for name in "ebcdic", "cp037", "utf-7", "hex", "hz":
        with pytest.raises(DataError, match="must be one of Python's in which ASCII"):
            infer_schema(path, "inline", encoding=name)
    assert [encodings.known(name) for name in ("latin1", "U8", "ASCII", "UTF_16")] == ["iso8859-1", "utf-8", "utf-8", "utf-16"]
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 2)))
    with pytest.raises(DataError, match="is npz, and text alone has an encoding"):
        sniff([str(tmp_path / "x.npz")], encoding="latin-1")
    with pytest.raises(DataError, match="text has no columns: leave out .*encoding"):
        prepare(plain[2], str(tmp_path / "data"), "inline", format="text", encoding="latin-1")
    with pytest.raises(DataError, match="1 of 3 records are bad .*: 1 not UTF-8; if the text has another encoding, say so, for example: --encoding latin-1"):
        prepare(bytes_in(tmp_path, "latin-1", '{"a": 1, "b": "x"}\n{"a": 2, "b": "é"}\n{"a": 3, "b": "y"}\n', "a.jsonl"), str(tmp_path / "data"), "inline", max_bad=0)
    assert infer_schema(text(tmp_path, "a,b\n1,2\n3,4\n"), "inline", encoding="utf-8").table.form.get("encoding") is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32-le"])
def test_the_lines_of_a_wide_text_are_put_together_again(tmp_path, encoding):
    rng = random.Random(1)
    data = CONTENT.encode(encoding)
    for own in data, data.removeprefix(codecs.BOM_UTF16_LE), codecs.BOM_UTF16_BE + CONTENT.encode("utf-16-be"):
        if encoding == "utf-16" or own is data:
            assert encodings.utf8(own + b"\0", encoding).decode() == CONTENT
            assert b"\n".join(encodings.narrowed(Lines(own.split(b"\n")), encoding, "").pieces).decode() == CONTENT.rstrip("\n")
    path, width, part = tmp_path / "x", encodings.WIDE[encoding], "\n".encode(encoding).removeprefix(codecs.BOM_UTF16_LE)[:1]
    for end, cut in product(("\n", "", "\r\n"), range(width)):
        lines = "\n".join("".join(rng.choices("a,b Ċ਀Ā\u010a", k=rng.randrange(1, 9))) for _ in range(300)) + end
        data = ("\ufeff" * (encoding != "utf-16") + lines).encode(encoding)
        data = data[:len(data) - cut]
        path.write_bytes(data)
        data = data.removesuffix(part * (len(data) % width))        # a part of a newline is one
        with open(path, "rb") as file:
            found = encodings.narrowed(Lines(map(bare, read_pieces(file))), encoding, str(path))
            assert b"\n".join(found.pieces).decode().removesuffix("\n") == encodings.decoder(encoding, data).decode(data, True).strip("\ufeff\n")
    with open(path, "wb") as file:
        file.write(("a\n" + "x" * LONGEST + "\nb\n").encode(encoding))
    with open(path, "rb") as file:
        a, long, b = encodings.narrowed(Lines(map(bare, read_pieces(file))), encoding, str(path)).pieces
    assert (a, long[:9], b) == (b"a", b"x" * 9, b"b") and isinstance(long, Long)


def test_bytes_without_meaning_take_no_newline_with_them():
    rng = random.Random(0)
    for encoding in "shift_jis", "gb18030", "cp1252", "big5", "euc_kr":
        for _ in range(300):
            data = b"".join(bytes(rng.choices(b'\x81\x90\xe0\xff\x40,"1\xa4', k=rng.randrange(6))) + b"\n" for _ in range(5))
            stops = np.flatnonzero(np.frombuffer(data, "u1") == 10)
            made, ends = encodings.recoded(data, stops, encoding)
            assert len(ends) == 5 and ends[-1] == len(made) - 1
            starts = [0, *(ends[:-1] + 1)]
            assert [made[a:b] for a, b in zip(starts, ends)] == [encodings.utf8(line, encoding) for line in data.split(b"\n")[:-1]]
