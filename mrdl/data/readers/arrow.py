"""Arrow's arrays in, Words out: by what pyarrow says of their type."""
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mrdl.data.tables.typed import Coded, Measured, Timed
from mrdl.data.tables.words import Words

ITEMS = 1000                    # of a list whose length is fixed, up to which each is a column
EXACT = 1e15                    # from here on, and below the next, Arrow writes floats otherwise than Python
SMALL = 1e-4
PER = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
TICKS = 10, 19                  # characters of a date, and of one with a time to the second


class Leaf(NamedTuple):
    """A column of fields in a file whose columns may be nested."""
    name: str                   # a.b, or a.0
    fields: tuple[str, ...]     # that lead to it
    item: int | None = None     # of a list


def leaves(schema: Iterable[pa.Field], above: tuple[str, ...] = ()) -> Iterator[tuple[Leaf, str]]:
    """The columns of a schema, and of those that cannot be used the type."""
    for own in schema:
        kind, fields = own.type, (*above, own.name)
        name = ".".join(fields)
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind):
            yield from leaves([kind.field(i) for i in range(kind.num_fields)], fields)
        elif pa.types.is_fixed_size_list(kind) and kind.list_size <= ITEMS and not pa.types.is_nested(kind.value_type):
            yield from ((Leaf(f"{name}.{i}", fields, i), unused(kind.value_type)) for i in range(kind.list_size))
        else:
            yield Leaf(name, fields), unused(kind)


def numeric(schema: Iterable[pa.Field], names: Iterable[str]) -> dict[str, str]:
    """The types of those of the columns that are numbers and not nested."""
    found = {own.name: own.type for own in schema}
    return {name: str(found[name]) for name in names if name in found and (
        pa.types.is_integer(found[name]) or pa.types.is_floating(found[name]))}


def unused(kind: pa.DataType) -> str:
    """Why values of the type are not used; or ""."""
    is_a = pa.types
    if is_a.is_binary(kind) or is_a.is_large_binary(kind) or is_a.is_fixed_size_binary(kind):
        return "binary"
    return str(kind).partition("<")[0] if is_a.is_nested(kind) or is_a.is_interval(kind) else ""


def column(batch: pa.RecordBatch, leaf: Leaf, known: dict[str, tuple[pa.Array, Words]]) -> Words:
    """The fields of a column. `known`: by column the dictionary of the batch before, and what became of it, as most batches have the same."""
    array = batch.column(leaf.fields[0])
    for name in leaf.fields[1:]:
        array = pc.struct_field(array, name)
    array = array if leaf.item is None else pc.list_element(array, leaf.item)
    if not pa.types.is_dictionary(array.type):
        return words(array)
    before, made = known.get(leaf.name, (None, None))
    if before is None or not before.equals(array.dictionary):
        made = _or_missing(words(array.dictionary))
        known[leaf.name] = array.dictionary, made
    ends = pc.min_max(array.indices).as_py()
    if array.null_count < len(array) and not 0 <= ends["min"] <= ends["max"] < len(array.dictionary):      # Arrow does not look
        raise ValueError(f"the numbers {ends['min']} to {ends['max']} for {len(array.dictionary)} values")
    return _coded(made, array.indices)


def words(array: pa.Array) -> Words:
    """An array's values as the fields that a CSV of them would have."""
    kind, is_a = array.type, pa.types
    if is_a.is_boolean(kind):
        return _coded(_or_missing(Words.of(["False", "True"])), array.cast(pa.int8()))
    if is_a.is_integer(kind):
        return Measured(_floats(array), lambda: _strings(array.cast(pa.string())))
    if is_a.is_floating(kind):
        values = _floats(array)
        return Measured(values, lambda: _written(values))
    if is_a.is_date(kind):
        return Timed(_floats(array.cast(pa.date32()).cast(pa.int32())) * 86400, lambda: _strings(array.cast(pa.date32()).cast(pa.string())))
    if is_a.is_timestamp(kind):
        return _times(array)
    return _strings(array.cast(pa.large_string()))


def _floats(array: pa.Array) -> np.ndarray:
    with np.errstate(invalid="ignore"):             # a NaN of a kind that no arithmetic makes
        return array.to_numpy(zero_copy_only=False).astype("f8", copy=False)


def _written(values: np.ndarray) -> Words:
    """Floats as Python writes them."""
    size = np.abs(values)
    with np.errstate(invalid="ignore"):
        odd = (size != 0) & ((size < SMALL) | (size >= EXACT)) & np.isfinite(values)
        whole = (values == np.floor(values)) & ~odd & np.isfinite(values)
    array = pa.array(values, from_pandas=True).cast(pa.string())
    if whole.any():
        array = pc.binary_join_element_wise(array, pc.if_else(pa.array(whole), ".0", ""), "")
    if odd.any():
        array = pc.replace_with_mask(array, pa.array(odd), pa.array(map(repr, values[odd].tolist())))
    return _strings(array)


def _or_missing(known: Words) -> Words:
    """Some fields, and an empty one behind them, of those that are missing."""
    return Words.together([known, Words.of([""])])


def _coded(known: Words, codes: pa.Array) -> Coded:
    """Fields by their numbers among those of `_or_missing`."""
    return Coded(known, pc.fill_null(codes.cast(pa.int64()), len(known) - 1).to_numpy())


def _times(array: pa.Array) -> Timed:
    ticks, per = array.cast(pa.timestamp(array.type.unit)), PER[array.type.unit]        # UTC, without the zone
    numbers = pc.fill_null(ticks.cast(pa.int64()), 0).to_numpy()
    whole, part = np.divmod(numbers, per)
    seconds = whole + part / per
    seconds[array.is_null().to_numpy(zero_copy_only=False)] = np.nan

    def text() -> Words:
        """Without the time where it is midnight, and without a fraction of the second where there is none."""
        made = _strings(ticks.cast(pa.string()))
        for here, size in (part == 0, TICKS[1]), (numbers % (86400 * per) == 0, TICKS[0]):
            made.stops[here] = np.minimum(made.stops[here], made.starts[here] + size)
        return made
    return Timed(seconds, text)


def _strings(array: pa.Array) -> Words:
    """Strings, without the blanks around them."""
    _, offsets, data = array.buffers()
    width = "i8" if pa.types.is_large_string(array.type) else "i4"
    offsets = np.frombuffer(offsets, width)[array.offset:array.offset + len(array) + 1] if len(array) else np.zeros(1, width)
    starts, stops = offsets[:-1].astype("i8"), offsets[1:].astype("i8")
    if array.null_count:
        gone = array.is_null().to_numpy(zero_copy_only=False)
        stops[gone] = starts[gone]
    found = np.frombuffer(data or b"", "u1")
    for ends, shift, step in (starts, 0, 1), (stops, -1, -1):
        at = np.flatnonzero(starts < stops)
        while len(at):
            byte = found[ends[at] + shift]
            at = at[(byte == 32) | (byte == 9)]
            ends[at] += step
            at = at[starts[at] < stops[at]]
    return Words(found, starts, stops)
