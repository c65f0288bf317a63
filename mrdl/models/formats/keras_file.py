"""Files of Keras: .keras (a zip archive), whole-model .h5, and weights alone, read and written without Keras.

Nothing in them is executed, and sizes are checked before memory is taken."""
import io
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from typing import Any, NamedTuple

from mrdl import limits
from mrdl.config import ConfigError, need, shown
from mrdl.models.formats import hdf5, keras_two, keras_weights, keras_writer
from mrdl.models.formats.keras_reader import LONGEST
from mrdl.schedules import Schedule
from mrdl.storage.paths import place

ARCHIVE, H5 = ".keras", (".h5", ".hdf5")
SPEC, FACTS, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"       # the members of a .keras file
VERSION = "3.0.0"               # of Keras, whose form is written
DATE = (1980, 1, 1, 0, 0, 0)    # of members: the same model gives the same bytes
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError, IndexError)


class Found(NamedTuple):
    """What a file of Keras has: the spec, what mrdl wrote besides (`note`), and weights."""
    spec: dict[str, Any]
    note: dict[str, Any]
    contents: hdf5.Contents


def is_keras(path: str) -> bool:
    """Does a file of this name have Keras's form?"""
    return path.endswith((ARCHIVE, *H5))


def is_weights(path: str) -> bool:
    """Is it a file with weights alone, by its name?"""
    return path.endswith(tuple(f".weights{end}" for end in H5))


# -- reading

@contextmanager
def _copied(file, size: int):
    """A local copy of a file, by its path."""
    limits.allow(size, "a file")
    with tempfile.NamedTemporaryFile(prefix="mrdl-", suffix=".h5") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.flush()
        yield copy.name


def contents(path: str) -> hdf5.Contents:
    """Reads an .h5 file, or that in a .keras file.

    Args:
        path: a path or an hdfs:// URL."""
    hdf5.available(path)
    folder, name = place(path)
    if name.endswith(ARCHIVE):
        with folder.open(name) as file:
            return _archived(file, path, None)[1]
    with folder.open(name) as file, _copied(file, folder.size(name)) as copy:
        return hdf5.read(copy, path)


def read(path: str) -> Found:
    """Reads a whole model; ConfigError if the file is damaged or has none.

    Args:
        path: a path or an hdfs:// URL that ends with .keras, .h5 or .hdf5."""
    hdf5.available(path)
    if path.endswith(ARCHIVE):
        folder, name = place(path)
        with folder.open(name) as file:
            told, found = _archived(file, path, (FACTS, SPEC))
        facts, spec = (_object(text, f"{member} in {path}") for member, text in zip((FACTS, SPEC), told))
        return Found(spec, _note(facts.get("mrdl")), found)
    found = contents(path)
    text = found.text("", "model_config")
    need(text is not None, f"{path} has no model, only weights: make the model, then model.load_weights({shown(path)})")
    spec = _object(text, f"model_config in {path}")
    if training := found.text("", "training_config"):
        spec["compile_config"] = keras_two.compiled(_object(training, f"training_config in {path}"))
    note = found.text("", "mrdl")
    return Found(spec, _note(_object(note, f"mrdl in {path}") if note else None), found)


def _archived(file, path: str, members: tuple[str, ...] | None) -> tuple[list[bytes], hdf5.Contents]:
    """Texts and weights in a .keras file; no member of another name is read."""
    try:
        with zipfile.ZipFile(file) as archive:
            told = [_member(archive, name, path, LONGEST).read() for name in members or ()]
            with _member(archive, WEIGHTS, path, limits.limit()) as member, \
                    _copied(member, archive.getinfo(WEIGHTS).file_size) as copy:
                return told, hdf5.read(copy, path)
    except ConfigError:
        raise
    except BROKEN as error:
        raise ConfigError(f"{path} is damaged: {shown(str(error))[1:-1]}") from None


def _member(archive: zipfile.ZipFile, name: str, path: str, most: int) -> Any:
    """Opens a member of an archive for reading; ConfigError if it is missing, or larger than it may be."""
    same = [info for info in archive.infolist() if info.filename == name]
    need(len(same) == 1, f"{path} has no {name}, or several" + "; weights in several files are not supported" * (
        name == WEIGHTS and any(info.filename.startswith("model") and info.filename.endswith(".json") for info in archive.infolist())))
    info = same[0]
    need(info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), f"{path}: {name} is packed in a way that Keras does not use")
    need(info.file_size <= most, f"{path}: {name} has {info.file_size:,} bytes, more than {most:,}")
    need(info.file_size <= max(hdf5.SMALL, hdf5.PACKED * info.compress_size), f"{path}: {name} has far more bytes than the file")
    return archive.open(info)


def _object(text: str | bytes, what: str) -> dict[str, Any]:
    need(len(text) <= LONGEST, f"{what} has {len(text):,} bytes, more than {LONGEST:,}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{what} is no JSON: {shown(str(error))}") from None
    need(isinstance(found, dict), f"{what} is no object")
    return found


def _note(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


def load_weights(model, path: str) -> None:
    """Sets a model's weights from a file with weights or a whole model; if the model is compiled, the optimizer's state too.

    Args:
        model: a model whose weights' shapes are known.
        path: a path or an hdfs:// URL."""
    found = contents(path)
    keras_weights.load(model, found, path)
    keras_weights.load_state_too(model, found, path)


def layers_of(spec: dict[str, Any]) -> list[tuple[str, str]] | None:
    """(class, name) of the layers that a spec lists, as `keras_weights.groups` takes them; None if it names none."""
    config = spec.get("config")
    entries = config if isinstance(config, list) else config.get("layers") if isinstance(config, dict) else None
    found = []
    for entry in entries if isinstance(entries, list) else []:
        kind = entry.get("class_name") if isinstance(entry, dict) else None
        own = entry.get("config") if isinstance(entry, dict) and isinstance(entry.get("config"), dict) else {}
        if kind == "InputLayer" and spec.get("class_name") == "Sequential":
            continue
        name = own.get("name") if isinstance(entry, dict) else None
        if not isinstance(kind, str) or not isinstance(name, str):
            return None
        found.append((kind, name))
    return found or None


# -- writing

def save(model, path: str) -> None:
    """Writes a whole model, atomically.

    Args:
        model: it gets weights if it has none.
        path: a path or an hdfs:// URL that ends with .keras, .h5 or .hdf5."""
    hdf5.available(path)
    model.build()
    note = {"epochs": model.epochs, "rate_scale": model.rate_scale if _scheduled(model) else 1.0}
    spec = keras_writer.form(model)
    if path.endswith(ARCHIVE):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name, data in ((FACTS, json.dumps({"keras_version": VERSION, "mrdl": note}).encode()), (SPEC, json.dumps(spec).encode()),
                               (WEIGHTS, hdf5.written(keras_weights.contents_of(model)))):
                archive.writestr(zipfile.ZipInfo(name, DATE), data)
        _write(path, made.getvalue())
        return
    found = keras_weights.legacy_contents(model)
    told = {"keras_version": VERSION, "backend": "mrdl", "mrdl": json.dumps(note),
            "model_config": json.dumps({"class_name": spec["class_name"], "config": spec["config"]})}
    if compiled := spec.get("compile_config"):
        told["training_config"] = json.dumps({"loss_weights": None, "weighted_metrics": None, **compiled,
                                              "optimizer_config": compiled["optimizer"]})
    _write(path, hdf5.written(hdf5.Contents({"": told, **found.attributes}, found.arrays)))


def save_weights(model, path: str) -> None:
    """Writes a model's weights, and the state of its optimizer if it is compiled, as Keras 3 does.

    Args:
        model: it gets weights if it has none.
        path: a path or an hdfs:// URL that ends with .weights.h5."""
    need(is_weights(path), f"{path}: must end with .weights.h5")
    hdf5.available(path)
    model.build()
    _write(path, hdf5.written(keras_weights.contents_of(model)))


def _scheduled(model) -> bool:
    return model.optimizer is not None and isinstance(model.optimizer.learning_rate, Schedule)


def _write(path: str, data: bytes) -> None:
    folder, name = place(path)
    need(not os.path.isdir(path), f"{path} is a folder: remove it, or give another name")
    folder.write(name, data)
