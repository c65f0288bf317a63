"""Loads the model that a file MODEL.py defines; errors in the file are reported with file and line."""
import functools
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.machinery import PathFinder
from typing import Any

from mrdl import safe_path
from mrdl.config import ConfigError, need
from mrdl.models.model import Model

# modules that this program needs: modules with these names next to MODEL.py are not used
TAKEN = sys.stdlib_module_names | {"fsspec", "h5py", "mrdl", "mrjob", "numpy", "rich", "safetensors"}


def load(path: str) -> Model:
    """Returns the variable `model` of the file; if `model` is a function, the value that it returns.

    The file runs like a script: it can import modules from its own folder, and its output goes to
    stderr. Any error in it becomes a ConfigError with the line."""
    with _running(path):
        model = runpy.run_path(path).get("model")
        if _is_function(model):
            model = model()
    return _checked(model, path)


def function(path: str) -> Callable[..., Model]:
    """Returns the function `model` of the file, which makes a model from values of its parameters. It runs as the file does."""
    need(path.endswith(".py"), f"{path}: must be a .py file, as a search makes models of different values")
    with _running(path):
        model = runpy.run_path(path).get("model")
    need(_is_function(model), f"{path} must define `model` as a function, whose parameters are what is tried: def model(units=64, "
         "learning_rate=0.001): ... return the compiled model")

    @functools.wraps(model)
    def made(**values: Any) -> Model:
        with _running(path):
            found = model(**values)
        return _checked(found, path)
    return made


def _checked(model: object, path: str) -> Model:
    need(not _is_keras(model), f"{path}: `model` is a model of Keras; mrdl's is `model = mrdl.model_from_json("
         "keras_model.to_json())`, with `model.set_weights(keras_model.get_weights())`; then compile it")
    need(isinstance(model, Model), f"{path} must define `model`: a mrdl.Sequential or mrdl.Model, or a function "
         "that returns one")
    return model


def _is_function(model: object) -> bool:
    return callable(model) and not isinstance(model, Model) and not _is_keras(model)


@contextmanager
def _running(path: str) -> Iterator[None]:
    """While the user's code runs: imports from the file's folder, output to stderr, and errors as ConfigErrors with the line."""
    need(os.path.isfile(path), f"{path}: no such file")
    folder = os.path.dirname(os.path.abspath(path))
    with _importing_from(folder), _stdout_to_stderr():
        try:
            yield
        except (Exception, SystemExit) as error:
            raise ConfigError(_told(error, path, folder)) from error


def _is_keras(model: object) -> bool:
    """True for a Keras model; does not import Keras, which takes seconds."""
    return any(base.__name__ == "Model" and base.__module__.partition(".")[0] in ("keras", "tf_keras")
               for base in type(model).__mro__)


class _Guard:
    """An import finder that comes before those of sys.path: modules in `TAKEN` are not imported from MODEL.py's folder."""

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
    """Puts the folder first in sys.path, as for a script; afterwards, removes the modules imported from it."""
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
    """True if the file is the user's: it lies in the folder, but not in another folder of sys.path inside it."""
    places = [place for place in (*sys.path, safe_path.HOME)
              if os.path.abspath(file).startswith(os.path.join(place, ""))]
    return file[0] != "<" and max(places, key=len, default="") == folder and module.partition(".")[0] != "mrdl"


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Redirects stdout of this process and its children to stderr, so that --json prints only one object."""
    if sys.stdout is None or sys.stderr is None:        # closed by the parent process
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
    """A message like "FILE line N: NameError: ...", with the last line of the user's own code that led to the error."""
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
