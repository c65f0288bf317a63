"""Text and packed files that are damaged at random: no crash, and rows in = rows used + rows reported. MRDL_FUZZ=100000 tries so
many of each form, other ones for each number; by default it is a second's worth."""
import bz2
import gzip
import io
import json
import lzma
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fuzzing import CASES, damaged, flipped, survives
from packed import zipped
from pyarrow import orc
from raw_data import idx, mapped, plan_of

from mrdl.data import corpus
from mrdl.data.corpus import BOM
from mrdl.data.readers.encoding import BIG, WIDE, decoder, utf8
from mrdl.data.readers.header import fields, is_number
from mrdl.data.readers.text import Corpus
from mrdl.data.sources import DataError
from mrdl.data.tokenizer import UNITS
from mrdl.storage.paths import opened

NUMBERS = b"".join(b"%d,%d.5,%d\n" % (i, i * 7 % 13, i % 3) for i in range(30))
WORDS = b"".join(b'%d,%s,"%s",%s\n' % (i, [b"x", b"y y", b""][i % 3], [b"a,b", b'say ""hi""', b"#"][i % 3], [b"no", b"yes"][i % 2])
                 for i in range(30))
OBJECTS = b"".join(json.dumps({"id": i, "user": {"age": 20 + i if i % 5 else None, "sex": "male" if i % 3 else "female"}, "tags": ["a", "b"][:i % 3],
                               "when": f"2026-11-{1 + i % 28:02d}", "note": 'a "quoted", \u00e9' if i % 7 else "", "y": "no" if i % 4 else "yes"},
                              ensure_ascii=i % 2 == 0).encode() + b"\n" for i in range(30))
ENTRIES = b"".join(b"%d qid:%d 1:0.5 %d:2 # %d\n" % (i % 2, i, 2 + i % 9, i) for i in range(30))
LONG = b"".join(b'%d,"%s",%s\n' % (i, [b"two\nlines", b"one", b'"" \n\n,'][i % 3], [b"no", b"yes"][i % 2]) for i in range(30))
SCHEMA = {"type": "record", "name": "row", "fields": [{"name": "n", "type": "long"}, {"name": "s", "type": ["null", "string"]}]}
TABLE = pa.table({"n": range(30), "s": ["a", None, "b b"] * 10, "f": [0.5, 1e300, None] * 10, "d": pa.array([1, 2, 3] * 10, pa.date32())})


@dataclass(frozen=True)
class Form:
    name: str
    content: bytes
    options: dict
    pack: object = bytes
    likely: bytes = b'",\n\r \t#;0a\xff\xef\xbb\xbf'
    change: object = damaged


def written(write, **options) -> bytes:
    """What write(file) writes."""
    file = io.BytesIO()
    write(file, **options)
    return file.getvalue()


def rows_of_avro(schema) -> int:
    with open(schema.files[0], "rb") as file:
        return sum(1 for _ in fastavro.reader(file))


def rows_of_idx(schema) -> int:
    with opened(schema.paths()[0]) as file:
        return int.from_bytes(file.read(8)[4:], "big")


def of_arrays(name: str, content: bytes, options: dict, pack=bytes) -> Form:
    return Form(name, content, options, pack, b"\0\1\x7f\x80\xff", flipped)


HEADED = b"n,word,quoted,y\n" + WORDS
FORMS = [
    Form("a.csv", NUMBERS, {}), Form("b.csv", b"a,b,y\r\n" + NUMBERS.replace(b"\n", b"\r\n"), {"label": "y"}),
    Form("d.txt", NUMBERS.replace(b",", b"  "), {}), Form("e.csv", b"n,text,y\n" + LONG, {"multiline": True}),
    Form("c.csv.gz", HEADED, {"label": "y"}, gzip.compress), Form("a.csv.bz2", NUMBERS, {}, bz2.compress),
    Form("a.csv.xz", NUMBERS, {}, lzma.compress), Form("t.tsv", HEADED.replace(b",", b"\t"), {"label": "y"}),
    Form("j.jsonl", OBJECTS, {"label": "y"}, likely=b'{}[]",:\\-0eu\n\xff\xc3\0#'), Form("l.svm", ENTRIES, {}, likely=b"0123 :#\t\r\n-.eq\xff"),
    Form("g.csv", WORDS, {"header": False, "encoding": "gb18030"}), Form("u.csv", NUMBERS, {"encoding": "utf-16"}, lambda content: b"\xff\xfe" + content.decode(
        "latin-1").encode("utf-16-le")),
    Form("c.csv.zst", HEADED, {}, zstandard.ZstdCompressor(write_checksum=True).compress), Form("a.csv.zip", NUMBERS, {}, zipped),
    of_arrays("x.npz", written(np.save, arr=np.arange(60.0).reshape(30, 2)), {}, lambda content: zipped(content, "x.npy")),
    of_arrays("i.idx", idx(np.arange(120, dtype="u1").reshape(30, 2, 2)), {}), of_arrays("i.idx.gz", idx(np.arange(120, dtype="i4").reshape(30, 4)), {}, gzip.compress),
    of_arrays("p.parquet", written(partial(pq.write_table, TABLE), row_group_size=20), {}), of_arrays("o.orc", written(partial(orc.write_table, TABLE)), {}),
    of_arrays("a.avro", written(partial(fastavro.writer, schema=SCHEMA, records=[{"n": i, "s": "ab" * (i % 40)} for i in range(100)]), sync_interval=500), {}),
]
#: how many rows a file has that is no text, by what else reads it
ROWS = {"npz": lambda schema: len(np.lib.npyio.NpzFile(schema.files[0])[schema.x]), "idx": rows_of_idx, "avro": rows_of_avro,
        "parquet": lambda schema: pq.ParquetFile(schema.files[0]).metadata.num_rows, "orc": lambda schema: orc.ORCFile(schema.files[0]).nrows}


def lines_of(content: bytes, delimiter: str, multiline: bool) -> list[bytes]:
    """The lines, or with `multiline` records, by a plain loop."""
    if not multiline:
        return content.split(b"\n")
    content = content if content.endswith(b"\n") else content + b"\n"
    found, start, at, state = [], 0, 0, "begin"         # of a field
    while at <= len(content):
        byte = content[at:at + 1]
        if at == len(content):
            if start == at:
                break
            at = content.index(b"\n", start)            # a quote does not end: its line is a record
            byte, state = b"\n", "text"
        if state == "inside":
            state = "quote" if byte == b'"' else "inside"
        elif state == "quote" and byte == b'"':
            state = "inside"
        elif byte == b"\n":
            found.append(content[start:at])
            start, state = at + 1, "begin"
        elif byte == delimiter.encode() or byte == b"\t" and delimiter == " ":
            state = "begin"
        elif byte == b'"' and state == "begin":
            state = "inside"
        elif state != "begin" or byte not in (b" ", b"\t"):
            state = "text"
        at += 1
    return found


def recoded(content: bytes, encoding: str) -> bytes:
    """Text of a wide encoding in UTF-8. A part of a newline at its end is one."""
    width, big = WIDE[encoding], encoding.endswith("be") or content.startswith(BIG.get(encoding, b"none"))
    part = content[len(content) // width * width:]
    content = content.removesuffix(part if part == b"\n" or big and part == bytes(width - 1) else b"")
    return decoder(encoding, content).decode(content, True).encode()


def records(schema) -> int:
    """How many lines of the file are neither blank nor a header."""
    with opened(schema.files[0]) as file:
        content = file.read()
    content = (recoded(content, schema.encoding) if schema.encoding in WIDE else content).removeprefix(BOM)
    lines = lines_of(content, schema.delimiter, getattr(schema, "multiline", False))[getattr(schema, "skip", 0):]
    if schema.encoding not in (*WIDE, ""):
        lines = [utf8(line, schema.encoding) for line in lines]
    lines = [line.rstrip(b"\r") for line in lines]
    blanks = b" \t\r" if schema.kind != "text" else b" " if schema.delimiter == "\t" else b" \t"
    lines = [line for line in lines if line.strip(blanks)]
    header = getattr(schema, "header", [])
    headers = [line for line in lines if line.removeprefix(BOM).decode("latin-1") in header]
    words = any(word and not is_number(word) for line in header for word in fields(line, schema.delimiter))
    top = next((line for line in lines if not line.lstrip(b" ").startswith(b"#")), b"")
    return len(lines) - (len(headers) if words else top in headers)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_whatever_is_damaged_no_row_is_lost(tmp_path, form):
    draw, path = random.Random(f"{form.name} {CASES}"), tmp_path / form.name
    read = 0
    for _ in range(CASES or 25):
        if form.pack is bytes or draw.random() < 0.5:
            content = form.pack(form.change(form.content, draw, form.likely))
        else:
            content = form.change(form.pack(form.content), draw, b"\0\xff")
        path.write_bytes(content)
        try:
            read += survives(str(path), lambda schema: ROWS.get(schema.kind, records)(schema), **form.options) is not None
        except Exception as error:
            error.add_note(f"the file was {content!r}")
            raise
    assert read >= 3


def test_a_text_that_is_damaged_loses_no_token(tmp_path):
    draw, path, steps = random.Random(CASES), str(tmp_path / "t.txt"), 3
    for _ in range(CASES or 25):
        Path(path).write_bytes(content := damaged("The cat sat on a mat. \u65e5\u672c, \u00e9t\u00e9!\r\n".encode() * 3, draw, b"\xff\xe6\x97\n a\xef\xbb\xbf"))
        try:
            (size,), (head,) = corpus.check([path])
        except DataError:
            continue
        text, unit = content[head:].decode("utf-8", "replace"), draw.choice(UNITS)
        tokens = [*text] if unit == "char" else re.findall(r"\w+|[^\w\s]|\n", text)
        schema = Corpus(files=[path], shape=[steps], target=[steps], counts=[size], heads=[head], unit=unit, vocabulary=["[UNK]", *sorted({*tokens})])
        _, facts = mapped(plan_of(schema), (b"%d\t%d\t%d" % places for places, _ in schema.spans()))
        assert (facts["characters"], facts["tokens"]) == (len(text), len(tokens)), content
        assert sum(facts["rows"]) == (-(-(len(tokens) - 1) // steps) if len(tokens) > steps else 0), content


@pytest.mark.parametrize("write, column", [(pq.write_table, ["a", "b", None] * 3), (orc.write_table, [Decimal("1.50"), None, Decimal("22.25")] * 3)],
                         ids=["parquet", "orc"])
def test_damaged_metadata_ends_no_process(tmp_path, write, column):
    path = str(tmp_path / "x")
    write(pa.table({"n": range(9), "s": column}), path)
    done = subprocess.run([sys.executable, "-c", READ_DAMAGED, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refused, total = map(int, done.stdout.split())
    assert 0 < refused < total


#: reads a file with each byte of its end changed; prints how many it refuses, and of how many; of all others it has all rows
READ_DAMAGED = """
import sys
from mrdl.data.records import Records
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError
path, refused = sys.argv[1], 0
content = open(path, "rb").read()
changes = [(at, content[at] ^ bit) for at in range(max(8, len(content) - 1000), len(content) - 8) for bit in (1, 64)]
for at, value in changes:
    with open(path, "wb") as file:
        file.write(content[:at] + bytes([value]) + content[at + 1:])
    try:
        schema = sniff([path])
        rows = sum(len(starts) for name, lines in schema.here() for _, starts, _ in schema.words(Records(name), lines))
        assert rows == 9, (at, value)
    except DataError:
        refused += 1
print(refused, len(changes))
"""
