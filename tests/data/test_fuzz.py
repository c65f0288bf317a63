"""Lines with any damage: each is a row that is used, or one that is reported. MRDL_FUZZ=1000000 tries so many lines of each form."""
import csv
import io
import json
import os
import random
import re
from contextlib import suppress

import pytest
from raw_data import plan_of, text

import mrdl
from mrdl.data.corpus import BOM
from mrdl.data.rows import Rows
from mrdl.data.schema import Schema
from mrdl.data.sniff import sniff
from mrdl.data.sources import DataError

LINES = int(os.environ.get("MRDL_FUZZ", "1500"))
RECORDS = [{"id": i, "user": {"age": 20 + i % 30 if i % 5 else None, "sex": "male" if i % 3 else "female"}, "tags": ["a", "b", "c"][:i % 4],
            "when": f"2026-11-{1 + i % 28:02d}", "note": 'a "quoted", \u00e9' if i % 7 else "", "y": "no" if i % 4 else "yes"} for i in range(60)]


def as_json() -> list[bytes]:
    return [json.dumps(record, ensure_ascii=i % 2 == 0).encode() for i, record in enumerate(RECORDS)]


def as_csv(delimiter: str) -> list[bytes]:
    file = io.StringIO()
    rows = [[r["id"], r["user"]["age"], r["user"]["sex"], "/".join(r["tags"]), r["when"], r["note"], r["y"]] for r in RECORDS]
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return file.getvalue().encode().splitlines()


#: of each form its first line, good lines, and what they are damaged with
FORMS = {
    "jsonl": ([], as_json(), [*b'{}[]",:\\-0e', b"null", b"\\u", b"\\ud800", b'{"user":{"age":', b"1e999", b"NaN"]),
    "csv": ([b"id,age,sex,tags,when,note,y"], as_csv(","), [*b'",;|-0e', b'""', b"1e999", b"nan", b"2026-02-30"]),
    "tsv": ([b"id\tage\tsex\ttags\twhen\tnote\ty"], as_csv("\t"), [*b'"\t,-0e', b"\t\t", b"1,5", b"inf"]),
}
ANY = [b"\n", b"\r", b"\t", b" ", b"\xff", b"\xc3", b"\0", b"#", BOM]


def records_in(schema: Schema, content: bytes) -> int:
    """The lines that are not blank, and no header."""
    lines = [line.rstrip(b"\r") for line in content.removeprefix(BOM).split(b"\n")]
    lines = [line for line in lines if line.strip(b" \r" if schema.delimiter == "\t" else b" \t\r")]
    headers = [line for line in lines if line.removeprefix(BOM).decode("latin-1") in getattr(schema, "header", [])]
    if headers and not re.search(rb"[^\d,.\t -]", headers[0]):
        headers = headers[:1]                   # a header of numbers stands on top alone
    return len(lines) - len(headers)


@pytest.mark.parametrize("form", FORMS)
def test_of_damaged_lines_each_is_used_or_reported(tmp_path, inline, form):
    first, good, pieces = FORMS[form]
    pieces, rng = [bytes([piece]) if isinstance(piece, int) else piece for piece in pieces], random.Random(0)
    total = read = 0
    while total < LINES:
        content = bytearray(b"\n".join([*first, *rng.choices(good, k=rng.randint(1, 60))]))
        for _ in range(rng.randint(0, 12)):
            at = rng.randrange(len(content))
            content[at:at + rng.choice([0, 0, 1, 1, 5])] = rng.choice([rng.choice(pieces), rng.choice(ANY), rng.randbytes(2)])
        content = bytes(content)
        total += content.count(b"\n") + 1
        path = text(tmp_path, content, "fuzzed")
        with suppress(DataError):
            schema = sniff([path])
            schema = schema.by(mrdl.infer_schema(path, inline, label="y" if "y" in schema.columns else None).table)
            if schema.shape == [0]:             # which prepare refuses
                continue
            rows = Rows(plan_of(schema), "f")
            list(rows.pairs(content.split(b"\n")))
            used = int(rows.count.sum())
            assert used + sum(rows.bad.values()) + rows.left_out + rows.comments == records_in(schema, content), content
            read += used
    assert read > total / 4
