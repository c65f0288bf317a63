"""Inputs in; out comes which kind they are, and their schema."""
from collections.abc import Sequence

from mrdl.data.readers.arrays import idx, npz
from mrdl.data.readers.columns import Wanted
from mrdl.data.readers.delimited import sniffed
from mrdl.data.schema import Schema
from mrdl.data.sources import DataError, read
from mrdl.storage.paths import opened


def sniff(paths: list[str], label: str | None = None, weight: str | None = None, header: bool | None = None,
          drop: Sequence[str] = (), like: Sequence[str] | None = None) -> Schema:
    """The one schema of all inputs. `header`, `drop`, `like`: of a text (Wanted)."""
    kinds = {path: _kind(path) for path in paths}
    if len(set(kinds.values())) > 1:
        few = [f"{path} ({kind})" for path, kind in list(kinds.items())[:3]]
        raise DataError(f"inputs of several kinds: {', '.join(few)}; prepare them one by one")
    kind = kinds[paths[0]]
    if kind == "text":
        return sniffed(paths, Wanted(label, weight, header, drop, like))
    if header is not None or drop or like is not None:
        raise DataError(f"{paths[0]}: has no columns: leave out header, drop and like")
    return {"npz": npz, "idx": idx}[kind](paths, label, weight)


def _kind(path: str) -> str:
    if path.endswith(".npz"):
        return "npz"
    with opened(path) as file:
        head = read(file, path, 4)
    return "idx" if len(head) == 4 and head[:2] == b"\0\0" else "text"
