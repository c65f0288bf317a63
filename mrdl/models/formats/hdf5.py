"""HDF5 files as Keras writes them: groups with texts as attributes, and tensors. It is safe to read files of strangers."""
import io
import json
import os
import subprocess
import tempfile
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from mrdl import limits, safe_path
from mrdl.config import ConfigError, need, shown

CHILD = "from mrdl.models.formats.hdf5_child import main; main()"
HEADER = 64_000                 # bytes of an attribute, at most, that HDF5 keeps with its group
SECONDS = 10                    # of computing that reading a file may take, and one more for each...
PER_SECOND = 20 << 20           # ...of its bytes
PACKED = 64                     # so many times the file's bytes its tensors may have; or...
SMALL = 1 << 28                 # ...this many bytes


class Contents(NamedTuple):
    """What a file has, by the paths of groups ("" is the file itself) and tensors."""
    attributes: dict[str, dict[str, Any]]
    arrays: dict[str, np.ndarray]

    def names(self, group: str, name: str) -> list[str]:
        """A list of texts in an attribute, which Keras divides into numbered ones if it is long."""
        told = self.attributes.get(group, {})
        parts = [told.get(name)] if name in told else [told[f"{name}{i}"] for i in range(len(told)) if f"{name}{i}" in told]
        return [text for part in parts if isinstance(part, list) for text in part]

    def text(self, group: str, name: str) -> str | None:
        """A text in an attribute, if there is one."""
        value = self.attributes.get(group, {}).get(name)
        return value if isinstance(value, str) else None


def available(path: str) -> None:
    """ConfigError if h5py is not installed."""
    need(find_spec("h5py"), f"{path}: files of Keras need h5py: pip install 'mrdl[keras]'")


def read(path: str, source: str) -> Contents:
    """Reads a file; a crash or an endless loop of HDF5's library ends only the process that does it.

    Args:
        path: a local file.
        source: what it is called in errors.

    Raises:
        ConfigError: it is damaged, refers to other files, or would need more memory than it has bytes for."""
    available(source)
    size = os.path.getsize(path)
    most = min(limits.limit(), max(SMALL, PACKED * size))
    with tempfile.NamedTemporaryFile(prefix="mrdl-") as out:
        status, told, said = asked(path, out.name, SECONDS + size // PER_SECOND, most)
        need(status >= 0, f"{source} is damaged: HDF5's library failed to read it (signal {-status})")
        try:
            found = json.loads(told)
        except ValueError:
            raise ConfigError(f"{source} could not be read: {shown(said[-300:].decode(errors='replace'))}") from None
        need("error" not in found, f"{source} is not read: {shown(found.get('error'))[1:-1]}")
        end = os.path.getsize(out.name)
        numbers = np.memmap(out.name, "u1", "r") if end else np.zeros(0, "u1")      # stays when the file has no name
    return Contents(found["attributes"], {
        name: np.frombuffer(numbers, kind, int(np.prod(shape, dtype=np.int64)), start).reshape(shape) if 0 not in shape
        else np.zeros(shape, kind) for name, (kind, shape, start) in found["arrays"].items()})


def asked(path: str, out: str, seconds: int, most: int) -> tuple[int, bytes, bytes]:
    """Runs `hdf5_child.main`; its exit status (below 0: minus the signal that ended it), what it printed, and its errors."""
    done = subprocess.run(safe_path.command(CHILD, path, out, str(seconds), str(most)), stdin=subprocess.DEVNULL, capture_output=True,
                          check=False, env={**safe_path.environment(), "OPENBLAS_NUM_THREADS": "1", "HDF5_PLUGIN_PATH": os.devnull})
    return done.returncode, done.stdout, done.stderr


def written(contents: Contents) -> bytes:
    """The bytes of a file with these groups and tensors; the same ones for the same contents."""
    import h5py
    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        for path, values in contents.arrays.items():
            root.create_dataset(path, data=values)
        for path, told in contents.attributes.items():
            group = root.require_group(path or "/")
            for name, value in told.items():
                for key, part in _parts(name, value) if isinstance(value, list) else [(name, value)]:
                    group.attrs[key] = part
    return file.getvalue()


def _parts(name: str, texts: list[str]) -> list[tuple[str, list[str]]]:
    """A list of texts as one attribute, or as numbered ones of which each fits; HDF5 keeps 16 bytes a text there."""
    count = HEADER // 16
    if len(texts) <= count:
        return [(name, texts)]
    return [(f"{name}{i}", texts[at:at + count]) for i, at in enumerate(range(0, len(texts), count))]
