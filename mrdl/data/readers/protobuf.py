"""The fields of a message of Protocol Buffers."""
from collections.abc import Iterator

VARINT, DELIMITED, FIXED = 0, 2, {1: 8, 5: 4}       # how a value is written; FIXED: in how many bytes


def numbered(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The number and the value of each field; of a message, a string or packed values in it the bytes. IndexError, KeyError where
    it is damaged."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte, at = message[at], at + 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == VARINT:
            yield number, varint()
            continue
        size = varint() if kind == DELIMITED else FIXED[kind]
        yield number, message[at:at + size]
        at += size
