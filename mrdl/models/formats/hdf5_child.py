"""Reads an HDF5 file of a stranger in a process of its own: HDF5's C library may crash on a damaged file, or never end."""
import json
import math
import re
import resource
import sys
from typing import Any, BinaryIO

ATTRIBUTES = re.compile(r"(layer|weight)_names\d*|(model|training)_config|keras_version|backend|mrdl")
FILTERS = {1, 2, 3}             # deflate, shuffle, Fletcher's checksum; another would load a library
OBJECTS_MOST = 200_000          # groups and tensors of a file, at most
NAMES_MOST = 1 << 20            # texts in one attribute, at most
INFLATED = 1032                 # deflate packs so many bytes into one, at most
ROOM = 256 << 20                # bytes of memory besides the tensors

# what h5py raises for damaged files
FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, NotImplementedError, OSError, RuntimeError, SystemError, TypeError, ValueError)


class Refused(ValueError):
    """Why a file is not read."""


def contents(path: str, out: BinaryIO, most: int) -> dict[str, Any]:
    """Copies the numbers of a file.

    Args:
        path: a local file.
        out: the numbers of all tensors are written there, one after the other, little-endian.
        most: how many bytes of numbers the file may have.

    Returns:
        "attributes": those that Keras writes, texts and lists of texts, by the paths of their groups; "arrays": (type, shape,
        where its numbers begin in `out`) of each tensor, by its path.

    Raises:
        Refused: something would be read from elsewhere, or is larger than what the file stores."""
    import h5py
    found: dict[str, Any] = {"attributes": {}, "arrays": {}}
    total = 0
    with h5py.File(path, "r", locking=False) as file:
        seen, waiting = {h5py.h5o.get_info(file.id).addr}, [("", file)]
        while waiting:
            at, group = waiting.pop()
            told = {name: _text(group.attrs, name) for name in group.attrs if ATTRIBUTES.fullmatch(name)}
            if told := {name: text for name, text in told.items() if text is not None}:
                found["attributes"][at] = told
            for name in group:
                place = f"{at}/{name}" if at else name
                kind = group.get(name, getclass=True, getlink=True)
                if kind is not h5py.HardLink:
                    raise Refused(f"{place[:80]!r} is a link to another place ({kind.__name__})")
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address in seen:
                    raise Refused(f"{place[:80]!r} is there twice, or contains itself")
                seen.add(address)
                if len(seen) > OBJECTS_MOST:
                    raise Refused(f"it has more than {OBJECTS_MOST:,} groups and tensors")
                if isinstance(item, h5py.Group):
                    waiting.append((place, item))
                elif isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind in "fiu":
                    _check(item, place)
                    total += item.size * item.dtype.itemsize
                    if total > most:
                        raise Refused(f"its tensors take more than {most:,} bytes")
                    values = item[()]
                    values = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
                    found["arrays"][place] = values.dtype.str, values.shape, out.tell()
                    out.write(values.tobytes())
    return found


def _check(dataset, place: str) -> None:
    """Refused if reading this dataset would read other files, load libraries, or take more memory than it seems to."""
    size, stored, plan = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size(), dataset.id.get_create_plist()
    if dataset.external or dataset.is_virtual:
        raise Refused(f"the numbers of {place[:80]!r} are in another file")
    filters = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
    if filters - FILTERS:
        raise Refused(f"{place[:80]!r} is packed in a way that is not supported")
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > 4 * size + (1 << 20):
        raise Refused(f"{place[:80]!r} has larger chunks than it is itself")
    if size > stored * (INFLATED if filters else 1):
        raise Refused(f"{place[:80]!r} has the shape {dataset.shape}, and no numbers for it")


def _text(attributes, name: str) -> str | list[str] | None:
    """An attribute that is a text or a list of texts; None for others."""
    import h5py
    kind = attributes.get_id(name)
    if kind.shape is None or math.prod(kind.shape) > NAMES_MOST:
        return None
    if 0 in kind.shape:
        return []
    if h5py.check_string_dtype(kind.dtype) is None:
        return None
    value = attributes[name]
    plain = [v.decode() if isinstance(v, bytes) else str(v) for v in ([value] if kind.shape == () else value.ravel().tolist())]
    return plain[0] if kind.shape == () else plain


def limited(seconds: int, most: int) -> None:
    """Limits this process.

    Args:
        seconds: of computing, after which it is ended.
        most: bytes of memory that it may take from now on."""
    with open("/proc/self/statm") as file:
        there = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (there + most, there + most))


def main() -> None:
    """Prints what `contents` found as JSON, or why it was refused; arguments: FILE OUT SECONDS BYTES."""
    path, out, seconds, most = *sys.argv[-4:-2], *map(int, sys.argv[-2:])
    import h5py  # noqa: F401  before its memory counts
    limited(seconds, 2 * most + ROOM)
    try:
        with open(out, "wb") as file:
            found = contents(path, file, most)
    except FAILURES as error:
        found = {"error": " ".join(str(error).split()) or type(error).__name__}
    json.dump(found, sys.stdout)
