"""Inputs that come through a pipe: - is standard input."""
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mrdl.config import need
from mrdl.data.corpus import PACKED
from mrdl.data.sources import PIPES, DataError, as_given
from mrdl.storage.base import CHUNK

STDIN = ("-", "/dev/stdin")


@contextmanager
def spooled(inputs: Sequence[str]) -> Iterator[list[str]]:
    """The inputs, with a temporary file of what it holds instead of each pipe: jobs read an input more than once, and in parts."""
    need(sum(path in STDIN for path in inputs) < 2, "-: standard input can be read only once")
    with tempfile.TemporaryDirectory(prefix="mrdl-") as folder:
        found = [_spooled(path, os.path.join(folder, str(number))) if path in STDIN or _is_pipe(path) else path
                 for number, path in enumerate(inputs)]
        PIPES.update({made: path for made, path in zip(found, inputs) if made != path})
        try:
            yield found
        except DataError as error:              # its user knows the pipe alone
            raise DataError(as_given(str(error))) from None
        finally:
            PIPES.clear()


def no_pipe(inputs: Sequence[str]) -> None:
    """ConfigError where one of the inputs is a pipe, for commands that read them again and again."""
    pipe = next((path for path in inputs if path in STDIN or _is_pipe(path)), None)
    need(pipe is None, f"{pipe}: rows are read again in each round, which a pipe does not allow: write them to a file, or prepare them: "
         f"mrdl prepare {pipe} DATA")


def _is_pipe(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:                     # it is not there, or no local path
        return False
    return stat.S_ISFIFO(mode)


def _spooled(path: str, folder: str) -> str:
    """The file that a pipe's bytes are written to. Its name is always the same: it decides the places of rows."""
    need(path not in STDIN or sys.stdin is not None, "-: standard input is closed")
    os.makedirs(folder)
    with open(sys.stdin.fileno() if path in STDIN else path, "rb", closefd=path not in STDIN) as pipe:
        first = pipe.read(CHUNK)
        need(first, f"{path}: nothing came")
        end = next((end for magic, (_, end) in PACKED.items() if first.startswith(magic)), "")
        with open(made := os.path.join(folder, f"stdin{end}"), "wb") as file:
            file.write(first)
            shutil.copyfileobj(pipe, file, CHUNK)
    return made
