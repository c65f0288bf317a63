"""Arrays of examples in, one text line out, and back: the block line.

A block is base64(header + arrays), in one run of ASCII without padding characters:

    prefix   16 bytes: magic, version, length of the JSON, CRC-32 of prefix and JSON
    JSON     dataset, shard, index, role, n, arrays {name: [dtype, shape]}, crc (of the array bytes),
             before: the seal of the block before it in the shard, "" in the first
    arrays   little-endian, in the order of their names

Sparse rows x are three arrays: x.counts[n], how many features of each row are not 0, and x.ids and x.values,
those of all rows; the JSON then has their `width`.

The header and each array are filled with zeros to a multiple of 48 bytes: base64 then never splits a
group between them, so that a header is read alone, and arrays come out aligned and without a copy.
A block's seal is a hash of its header: that of a shard's last block stands for the whole shard.
"""
import binascii
import json
import math
import struct
import zlib
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from mrdl.data.sparse import Csr, flat, unflat
from mrdl.kernels import text as kernel

MAGIC, VERSION = b"mrdb", 2
PREFIX = struct.Struct("<4sHxxI")       # then the CRC-32, "<I"
GRAIN = 48                              # bytes: a multiple of 3 (base64) and of 16 (alignment)
DTYPES = ("u1", "u2", "i4", "f4", "f8")
ROLES = ("train", "validation")
SPARSE = {"x.counts", "x.ids", "x.values"}      # in the place of x
ENTRIES = {"x.ids", "x.values"}         # whose first axis is not n
HEADER_LIMIT = 1 << 16


class BlockError(ValueError):
    """A line that is no block, or a damaged one; the message says what is wrong with it."""


@dataclass(frozen=True)
class Block:
    """The header of a block line; `arrays()` decodes the rest.

    Args:
        dataset: the uid of the dataset that it is of.
        shard: the number of its shard.
        index: its number in the shard, from 0.
        role: "train" or "validation".
        n: its examples.
        layout: by the name of an array its dtype and shape; the first axis is n.
        crc: the CRC-32 of the arrays' bytes.
        before: the seal of the block before it in the shard, "" in the first.
        seal: a hash of the header.
        line: the whole line.
        start: where the arrays begin, in characters of the line.
        width: of sparse rows how many features they have; None: they are not sparse."""
    dataset: str
    shard: int
    index: int
    role: str
    n: int
    layout: dict            # name -> (dtype, shape)
    crc: int
    before: str             # the seal of the block before it
    seal: str
    line: bytes = field(repr=False)
    start: int = field(repr=False)      # of the arrays, in characters of the line
    width: int | None = None            # of sparse rows

    def arrays(self) -> dict[str, np.ndarray | Csr]:
        """name -> read-only array, checked against the checksum; views of the decoded bytes. Sparse rows are a Csr."""
        data = np.empty(_size(self.layout), np.uint8)
        if not kernel.decode64(memoryview(self.line)[self.start:], data):
            raise BlockError(f"{self._where()}: characters that are not base64")
        data.flags.writeable = False
        if zlib.crc32(data) != self.crc:
            raise BlockError(f"{self._where()}: the checksum of its arrays does not fit")
        found, offset = {}, 0
        for name, (dtype, shape) in self.layout.items():
            count = math.prod(shape)
            found[name] = np.frombuffer(data, "<" + dtype, count, offset).reshape(shape)
            offset += _filled(count * int(dtype[1]))
        try:
            return unflat(found, self.width)
        except ValueError as error:
            raise BlockError(f"{self._where()}: {error}") from None

    def _where(self) -> str:
        return f"block {self.index} of shard {self.shard}"


def pack(arrays: dict[str, np.ndarray | Csr], *, dataset: str, shard: int, index: int,
         role: str, before: str = "") -> bytes:
    """The block line of arrays that share their first axis, n: "x", and where there are "y", "w".

    before: the seal of the block before it in its shard.

    dtypes: uint8, uint16, int32, float32, float64 (`narrow` picks one); others raise ValueError."""
    if role not in ROLES:
        raise ValueError(f"role {role!r} of a block: must be one of {', '.join(ROLES)}")
    width = {"width": x.width} if isinstance(x := arrays.get("x"), Csr) else {}
    arrays = flat(arrays)
    layout, parts = {}, []
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        dtype = array.dtype.str[1:]
        if dtype not in DTYPES or array.ndim < 1:
            raise ValueError(f"array {name!r} of a block: {array.ndim} axes of {array.dtype}; "
                             "must be 1 or more of uint8, uint16, int32, float32 or float64")
        layout[name] = (dtype, array.shape)
        raw = array.astype("<" + dtype, order="C", copy=False).tobytes()
        parts.append(raw + bytes(_filled(len(raw)) - len(raw)))
    lengths = {shape[0] for name, (_, shape) in layout.items() if name not in ENTRIES}
    if len(lengths) != 1:
        raise ValueError(f"arrays of a block must share their first axis, not {layout}")
    body = b"".join(parts)
    text = json.dumps({"dataset": dataset, "shard": shard, "index": index, "role": role,
                       "n": lengths.pop(), "arrays": layout, "crc": zlib.crc32(body), "before": before, **width},
                      separators=(",", ":")).encode()
    if len(text) > HEADER_LIMIT:
        raise ValueError(f"header of a block: {len(text)} bytes, more than {HEADER_LIMIT}")
    text = text.ljust(_filled(PREFIX.size + 4 + len(text)) - PREFIX.size - 4)
    prefix = PREFIX.pack(MAGIC, VERSION, len(text))
    crc = struct.pack("<I", zlib.crc32(prefix + text))
    return binascii.b2a_base64(prefix + crc + text + body, newline=False)


def unpack(line: bytes) -> Block:
    """The block in a line; decodes the header alone.

    Args:
        line: the line, without its end.

    Returns:
        The block; its `arrays()` decodes the rest.

    Raises:
        BlockError: the line is no block, or a damaged one."""
    first = _decoded(line[:GRAIN * 4 // 3])
    if len(first) != GRAIN or first[:4] != MAGIC:
        raise BlockError(f"not a block line: it starts with {line[:20]!r}")
    _, version, length = PREFIX.unpack_from(first)
    if version != VERSION:
        raise BlockError(f"a block of version {version}: this mrdl reads version {VERSION}")
    stop = PREFIX.size + 4 + length
    if stop % GRAIN or stop > _filled(HEADER_LIMIT) + GRAIN:
        raise BlockError(f"damaged block: a header of {length} bytes")
    header = _decoded(line[:stop * 4 // 3])
    text = header[PREFIX.size + 4:]
    crc = zlib.crc32(header[:PREFIX.size] + text)
    if len(header) != stop or struct.pack("<I", crc) != header[PREFIX.size:PREFIX.size + 4]:
        raise BlockError("damaged block: the checksum of its header does not fit")
    block = _described(text, line, stop * 4 // 3)
    expected = block.start + _size(block.layout) * 4 // 3
    if len(line) != expected:
        raise BlockError(f"{block._where()}: a line of {len(line)} characters, must be {expected}")
    return block


def narrow(values: np.ndarray, dtype: str = "float32", labels: bool = False) -> np.ndarray:
    """The same numbers in the smallest dtype of a block.

    uint8 where all are whole and in 0..255, else `dtype`; labels: int32 where all are whole, and float64 where
    `dtype` would change a whole number (an id)."""
    small, top = ("<i4", 2**31 - 1) if labels else ("u1", 255)
    low = -2**31 if labels else 0
    values = np.asarray(values)
    whole = values.dtype.kind in "biu" or np.array_equal(values, np.floor(values))
    if values.size == 0 or (whole and values.min() >= low and values.max() <= top):
        return values.astype(small)
    found = values.astype(np.dtype(dtype).newbyteorder("<"))
    return values.astype("<f8") if labels and ((found != values) & (values == np.floor(values))).any() else found


def _described(text: bytes, line: bytes, start: int) -> Block:
    """A header with a right checksum may still be a stranger's: nothing in it is taken on trust."""
    try:
        head = json.loads(text)
        layout = {str(name): (str(dtype), tuple(shape))
                  for name, (dtype, shape) in head["arrays"].items()}
        block = Block(head["dataset"], head["shard"], head["index"], head["role"], head["n"],
                      layout, head["crc"], head["before"], blake2b(text, digest_size=16).hexdigest(), line, start,
                      head.get("width"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BlockError(f"damaged block: its header cannot be read ({error!r})") from None
    numbers = [block.shard, block.index, block.n, block.crc, *([] if block.width is None else [block.width])]
    numbers += [size for _, shape in layout.values() for size in shape]
    if not all(type(number) is int and 0 <= number < 2**48 for number in numbers):
        raise BlockError("damaged block: a number in its header is out of range")
    if not (isinstance(block.dataset, str) and isinstance(block.before, str)) or block.role not in ROLES:
        raise BlockError(f"damaged block: dataset {block.dataset!r}, role {block.role!r}, before {block.before!r}")
    for name, (dtype, shape) in layout.items():
        if dtype not in DTYPES or not 1 <= len(shape) <= 32 or shape[0] != block.n and name not in ENTRIES:
            raise BlockError(f"damaged block: array {name!r} of {dtype}, shape {shape}")
    own = {name: layout[name] for name in sorted(SPARSE & layout.keys())}
    if own.keys() != (set() if block.width is None else SPARSE) or own and (
            block.width >= 2**31 or {len(shape) for _, shape in own.values()} != {1} or own["x.ids"][1] != own["x.values"][1]
            or own["x.counts"][0] != "i4" or own["x.ids"][0] != "i4"):
        raise BlockError(f"damaged block: rows of width {block.width}, arrays {own}")
    return block


def _decoded(characters) -> bytes:
    try:
        return binascii.a2b_base64(characters)
    except binascii.Error as error:
        raise BlockError(f"damaged block: {error}") from None


def _filled(size: int) -> int:
    return -(-size // GRAIN) * GRAIN


def _size(layout: dict) -> int:
    return sum(_filled(math.prod(shape) * int(dtype[1])) for dtype, shape in layout.values())
