"""A file MODEL.py in, the model that it defines out; its mistakes are told by file and line."""
import os
import runpy
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.machinery import PathFinder

from mrdl import safe_path
from mrdl.config import ConfigError, need
from mrdl.models.model import Model

# modules that one beside MODEL.py does not stand in for: what this program runs on
TAKEN = sys.stdlib_module_names | {"fsspec", "mrdl", "mrjob", "numpy", "rich", "safetensors"}


def load(path: str) -> Model:
    """The variable `model` of the file, or what its function of that name returns.

    The file is run as Python runs a script: it may import what lies beside it. What it prints goes to
    stderr. ConfigError, with the line, for whatever goes wrong in it."""
    need(os.path.isfile(path), f"{path}: no such file")
    folder = os.path.dirname(os.path.abspath(path))
    with _importing_from(folder), _stdout_to_stderr():
        try:
            model = runpy.run_path(path).get("model")
            if callable(model) and not isinstance(model, Model) and not _is_keras(model):
                model = model()
        except (Exception, SystemExit) as error:
            raise ConfigError(_told(error, path, folder)) from error
    need(not _is_keras(model), f"{path}: `model` is a model of Keras; mrdl's is `model = mrdl.model_from_json("
         "keras_model.to_json())`, with `model.set_weights(keras_model.get_weights())`; then compile it")
    need(isinstance(model, Model), f"{path} must define `model`: a mrdl.Sequential or mrdl.Model, or a function "
         "that returns one")
    return model


def _is_keras(model: object) -> bool:
    """Without an import of Keras, which takes seconds."""
    return any(base.__name__ == "Model" and base.__module__.partition(".")[0] in ("keras", "tf_keras")
               for base in type(model).__mro__)


class _Guard:
    """A finder, ahead of sys.path's: what is `TAKEN` does not come from a folder."""

    def __init__(self, folder: str):
        self.folder = folder

    def find_spec(self, name: str, path=None, target=None):
        if path is not None or name not in TAKEN:
            return None
        found = PathFinder.find_spec(name, [place for place in sys.path if place != self.folder])
        if found is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found


@contextmanager
def _importing_from(folder: str) -> Iterator[None]:
    """The folder is first in sys.path, as a script's; afterwards none of its modules is left for others."""
    guard, before, path = _Guard(folder), set(sys.modules), list(sys.path)
    sys.path.insert(0, folder)
    sys.meta_path.insert(sys.meta_path.index(PathFinder), guard)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and _is_own(file, name, folder):
                del sys.modules[name]
        sys.meta_path.remove(guard)
        sys.path[:] = path


def _is_own(file: str, module: str, folder: str) -> bool:
    """Is the file the user's: does it lie in the folder, and not in another of sys.path within it?"""
    places = [place for place in (*sys.path, safe_path.HOME)
              if os.path.abspath(file).startswith(os.path.join(place, ""))]
    return file[0] != "<" and max(places, key=len, default="") == folder and module.partition(".")[0] != "mrdl"


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """What this process writes to stdout, and what others do that it starts: --json stays one object."""
    if sys.stdout is None or sys.stderr is None:        # closed by whoever started us
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _told(error: BaseException, path: str, folder: str) -> str:
    """"FILE line N: NameError: ...": the last line of the user's own that led to the error."""
    own = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
           if _is_own(frame.f_code.co_filename, frame.f_globals.get("__name__", ""), folder)]
    what = str(error)
    if isinstance(error, SyntaxError):
        what = error.msg
        if error.filename and _is_own(error.filename, "", folder):
            own.append((error.filename, error.lineno))
    place = path
    if own:
        file, line = own[-1]
        place = os.path.join(os.path.dirname(path), os.path.relpath(file, folder)) + f" line {line}"
    kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
    return f"{place}: {kind}{' '.join(what.split())}".removesuffix(": ")
