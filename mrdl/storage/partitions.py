"""Hive's partition folders, as in table/day=2026-11-29/country=de/part-0.csv: what a file's path says of all its rows."""
import re
from urllib.parse import unquote, unquote_to_bytes

NAMED = re.compile(r"([^/=]+)=([^/]*)")
MISSING = "__HIVE_DEFAULT_PARTITION__"          # what Hive writes for a missing value


def is_partition(folder: str) -> bool:
    """Whether a folder's name is one of them."""
    return bool(NAMED.fullmatch(folder.rpartition("/")[2]))


def within(path: str) -> str:
    """The end of a path that belongs to its table: the file's name, and the partition folders right above it."""
    *folders, name = path.split("/")
    first = len(folders)
    while first and NAMED.fullmatch(folders[first - 1]):
        first -= 1
    return "/".join([*folders[first:], name])


def values(path: str) -> dict[str, bytes]:
    """Column and value of each partition folder of a file, from the outermost on; "" is a missing one."""
    found = (NAMED.fullmatch(folder).groups() for folder in within(path).split("/")[:-1])
    return {unquote(name): b"" if value == MISSING else unquote_to_bytes(value) for name, value in found}
