"""Avro: blocks of rows in files, of which a mapper reads those that begin in a range of bytes."""
import datetime
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mrdl.data.readers.declared import FEATURES, Declared, Shown, reading
from mrdl.data.records import Records
from mrdl.data.sources import demand
from mrdl.data.tables.typed import Measured
from mrdl.data.tables.words import Words
from mrdl.storage.paths import opened, size

SPAN = 4 << 20                  # bytes of a span: they take a second or so
ROWS, BYTES = 1 << 12, 1 << 20  # that are taken at once, at most: bytes as in the file
SYNC = 16                       # bytes of the mark behind the header and each block
CHUNK = 1 << 20
UNUSED = {"bytes", "fixed", "array", "map"}


@dataclass(frozen=True, kw_only=True)
class Avro(Declared):
    """Avro's container files. counts: of each file its bytes; 0: it has no rows."""
    kind = "avro"
    packages = ("fastavro",)
    extra = "avro"

    @classmethod
    def recognises(cls, path: str, first: bytes) -> bool:
        return first.startswith(b"Obj\x01") or path.endswith(".avro")

    @classmethod
    def seen(cls, path: str) -> tuple[list[tuple[str, str]], list[int]]:
        from fastavro import block_reader
        with opened(path) as file, reading(path):
            reader = block_reader(file)
            demand(isinstance(reader.writer_schema, dict) and "fields" in reader.writer_schema, f"{path}: its rows are no records with fields")
            block = next(reader, None)          # a codec that is not there is told here
            return [*leaves(reader.writer_schema, {})], [size(path) if block else 0]

    def spans(self) -> list[tuple[tuple[int, int, int], int]]:
        return [((index, start, min(start + SPAN, stop)), min(SPAN, stop - start))
                for index, (stop,) in enumerate(self.counts) for start in range(0, stop, SPAN)]

    def words(self, records: Records, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Words], np.ndarray, Shown]]:
        """The fields of spans by column; a row's place is the byte at which its block begins, plus its number in the block."""
        most = max(1, min(ROWS, FEATURES // max(self.room, 1)))
        for line in lines:
            index, start, stop = map(int, line.split(b"\t"))
            records.file = path = self.files[index]
            for rows, places in _batches(_blocks(path, start, stop), most):
                columns = {name: words(_values(rows, name)) for name in self.needed}
                yield columns, np.array(places), Shown(columns)


def _blocks(path: str, start: int, stop: int) -> Iterator[tuple[int, int, list[dict]]]:
    """The blocks that begin in a range of a file: where each begins, its bytes and its rows."""
    from fastavro import block_reader
    with opened(path) as file, reading(path):
        reader = block_reader(file)
        first = file.tell()
        file.seek(first - SYNC)
        if _to_block(file, file.read(SYNC), max(start, first)):
            for block in reader:
                if block.offset >= stop:
                    return
                yield block.offset, block.size, list(block)


def _to_block(file, mark: bytes, start: int) -> bool:
    """Goes to the first block that begins at `start` or behind it, by the mark before it; False where there is none."""
    at, held = start - SYNC, b""                # held: the bytes of the file from `at` on
    file.seek(at)
    while data := file.read(CHUNK):
        held += data
        found = held.find(mark)
        if found >= 0:
            file.seek(at + found + SYNC)
            return True
        at, held = at + len(held) - SYNC + 1, held[1 - SYNC:]
    return False


def _batches(blocks: Iterable[tuple[int, int, list[dict]]], most: int) -> Iterator[tuple[list[dict], list[int]]]:
    """Rows and their places, some blocks together."""
    rows: list[dict] = []
    places: list[int] = []
    held = 0
    for offset, length, own in blocks:
        rows += own
        places += range(offset, offset + len(own))
        held += length
        while rows and (len(rows) >= most or held >= BYTES):
            yield rows[:most], places[:most]
            rows, places, held = rows[most:], places[most:], 0
    if rows:
        yield rows, places


def leaves(record: dict, within: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """The columns of a record's schema, and what the values are of those that cannot be used. `within`: the types with names so far."""
    within[record["name"]] = {**record, "fields": None}         # it cannot be a column of its own
    for own in record["fields"]:
        yield from _leaves(own["type"], within, above + own["name"])
    within[record["name"]] = record


def _leaves(kind: Any, within: dict[str, Any], name: str) -> Iterator[tuple[str, str]]:
    kinds = [own for own in (kind if isinstance(kind, list) else [kind]) if own != "null"]
    found = [within.get(own, {"type": own}) if isinstance(own, str) else own for own in kinds]
    within.update((own["name"], own) for own in found if "name" in own and "fields" not in own)
    if len(found) == 1 and found[0].get("fields"):
        yield from leaves(found[0], within, name + ".")
        return
    odd = [own["type"] for own in found if "fields" in own or own["type"] in UNUSED and own.get("logicalType") != "decimal"]
    yield name, " or ".join(odd)


def _values(rows: list, name: str) -> list:
    for part in name.split("."):
        rows = [None if row is None else row[part] for row in rows]
    return rows


def words(values: list) -> Words:
    """Values as the fields that a CSV of them would have."""
    if {type(value) for value in values} <= {int, float, type(None)}:
        return Measured(np.array([math.nan if value is None else value for value in values], "f8"), lambda: Words.of(map(text, values)))
    return Words.of(map(text, values))


def text(value: Any) -> str:
    """A value as a CSV would have it; times in UTC, without what is 0 in them."""
    if isinstance(value, str):
        return value.strip(" \t")
    if value is None or isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, datetime.datetime):
        value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None) if value.tzinfo else value
        return str(value).removesuffix(" 00:00:00")
    return str(value)
