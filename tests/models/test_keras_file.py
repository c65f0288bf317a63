"""Files of Keras without Keras: what is refused, and why; damaged at random they end nothing. MRDL_FUZZ=20000 damages so many."""
import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from fuzzing import CASES

import mrdl
from mrdl import limits
from mrdl.config import ConfigError
from mrdl.layers import Dense, Input
from mrdl.models.formats import hdf5
from mrdl.models.formats.keras_file import FACTS, SPEC, WEIGHTS

SUPPORT = Path(__file__).parents[1] / "support"


def small() -> mrdl.Sequential:
    model = mrdl.Sequential([Input(3), Dense(2, name="one")])
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.hdf5"])
def test_a_file_has_the_whole_model_and_the_same_model_gives_the_same_bytes(tmp_path, name):
    model, x = small(), np.ones((4, 3), "f4")
    model.fit(x, np.ones((4, 2)), epochs=2, verbose=0)
    model.save(path := str(tmp_path / name))
    first = Path(path).read_bytes()
    model.save(path)
    assert Path(path).read_bytes() == first
    again = mrdl.load_model(path)
    fresh = mrdl.load_model(path, updater=False)
    assert (again.iterations, again.epochs, fresh.iterations, fresh.epochs) == (2, 2, 0, 0)
    for one in (model, again):
        one.fit(x, np.ones((4, 2)), epochs=2, verbose=0)
    assert (again.weights == model.weights).all() and (again.slots == model.slots).all()
    assert (mrdl.load_model(f"file://{path}").predict(x) == fresh.predict(x)).all()
    other = mrdl.Sequential([Input(3), Dense(2)]).build()
    assert (other.load_weights(path).weights == fresh.weights).all()


def test_a_folder_of_such_a_name_is_a_folder(tmp_path):
    small().save(str(tmp_path / "m"))
    os.rename(tmp_path / "m", path := str(tmp_path / "m.keras"))
    assert mrdl.load_model(path).names() == ["one"]
    with pytest.raises(ConfigError, match="m.keras is a folder: remove it"):
        small().save(path)


def test_without_h5py_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "find_spec", lambda name: None)
    for ask in (small().save, mrdl.load_model, small().load_weights):
        with pytest.raises(ConfigError, match=r"m\.keras: files of Keras need h5py: pip install 'mrdl\[keras\]'"):
            ask(str(tmp_path / "m.keras"))
    with pytest.raises(ConfigError, match=r"must end with \.weights\.h5"):
        small().save_weights("m.h5")


def linked(file):
    file["layers"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft(file):
    file["layers"] = h5py.SoftLink("/vars")


def circle(file):
    file.create_group("layers/a")
    file["layers/a/b"] = file["layers"]


def twice(file):
    file["a"] = np.zeros(1000, "f4")
    for i in range(100):
        file[f"b{i}"] = file["a"]


def elsewhere(file):
    file.create_dataset("a", (100,), "u1", external=[("/etc/passwd", 0, 100)])


def virtual(file):
    layout = h5py.VirtualLayout((100,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "a", (100,))
    file.create_virtual_dataset("a", layout)


def empty(file):
    file.create_dataset("layers/dense/vars/0", (1 << 20, 1 << 20), "f4")


def unallocated(file):
    file.create_dataset("a", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression="gzip")


def packed(file):
    file.create_dataset("a", data=np.zeros(1000, "f4"), compression="lzf")


def chunk(file):
    """A chunk that says it has 4 kB, and inflates to half a gigabyte."""
    dataset = file.create_dataset("a", (1000,), "f4", chunks=(1000,), compression="gzip")
    bomb, press = [], zlib.compressobj(1)
    for _ in range(8):
        bomb.append(press.compress(bytes(1 << 26)))
    dataset.id.write_direct_chunk((0,), b"".join([*bomb, press.flush()]))


@pytest.mark.parametrize("make, why", [
    (linked, "'layers' is a link to another place .ExternalLink"), (soft, "'layers' is a link to another place .SoftLink"),
    (circle, "contains itself"), (twice, "is there twice"), (elsewhere, "the numbers of 'a' are in another file"),
    (virtual, "the numbers of 'a' are in another file"), (empty, r"'layers/dense/vars/0' has the shape \(1048576, 1048576\), and no numbers for it"),
    (unallocated, "no numbers for it"), (packed, "'a' is packed in a way that is not supported"), (chunk, "is not read: ")])
def test_what_would_be_read_from_elsewhere_or_takes_more_memory_than_it_seems_to_is_refused(tmp_path, monkeypatch, make, why):
    with h5py.File(path := str(tmp_path / "m.weights.h5"), "w") as file:
        make(file)
    monkeypatch.setattr(limits, "most", 1 << 24)        # for the chunk, of which only reading tells its size
    with pytest.raises(ConfigError, match=f"m.weights.h5 is not read: .*{why}|{why}"):
        small().build().load_weights(path)


def archive(path: Path, packing=zipfile.ZIP_STORED, **changes: bytes | None) -> str:
    """A .keras file of a small model with other members; None: without this one."""
    small().save(str(path))
    with zipfile.ZipFile(path) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    names = {"spec": SPEC, "facts": FACTS, "weights": WEIGHTS}
    members |= {names.get(name, name): data for name, data in changes.items()}
    with zipfile.ZipFile(path, "w", packing) as new:
        for name, data in members.items():
            if data is not None:
                new.writestr(name, data)
    return str(path)


def spec_with(**entry) -> bytes:
    """The spec of a Sequential with this layer."""
    first = {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 3]}}
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": [first, {"registered_name": None, **entry}]}}).encode()


LAMBDA = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "x", "function": {
    "class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAAAAAAAAQ=", "defaults": None, "closure": None}}}}


@pytest.mark.parametrize("changes, why", [
    ({"spec": spec_with(**LAMBDA)}, "unknown layer 'Lambda'"),
    ({"spec": spec_with(module="antigravity", class_name="Dense", config={"units": 2}, registered_name="antigravity>Dense")},
     "unknown layer 'Dense' of its own module"),
    ({"spec": None}, "has no config.json, or several"), ({"weights": None}, "has no model.weights.h5"),
    ({"weights": None, "model.weights.json": b"{}"}, "weights in several files are not supported"),
    ({"spec": b"[" * 100_000}, "config.json in .*m.keras is no JSON"), ({"facts": b"[]"}, "is no object"),
    ({"spec": b" " * (17 << 20)}, r"config.json has 17,825,792 bytes, more than 16,777,216"),
    ({"packing": zipfile.ZIP_DEFLATED, "weights": bytes(3 << 20)}, "has far more bytes than the file"),
    ({"packing": zipfile.ZIP_BZIP2}, "packed in a way that Keras does not use"),
    ({"facts": b'{"mrdl": {"epochs": -1}}'}, "the counts of its optimizer are damaged; load_model"),
    ({"spec": spec_with(class_name="Dense", config={"units": 1 << 40, "name": "one"})}, "more than the limit"),
    ({"spec": spec_with(class_name="Dense", config={"units": 5, "name": "one"})}, r"one/kernel has the shape \(3, 2\), not \(3, 5\)"),
    ({"weights": b"no"}, "m.keras is not read: "),
], ids=range(14))
def test_an_archive_that_is_hostile_or_wrong_is_refused_in_one_line(tmp_path, monkeypatch, changes, why):
    monkeypatch.setattr(hdf5, "SMALL", 1 << 20)
    path = archive(tmp_path / "m.keras", **changes)
    with pytest.raises(ConfigError, match=why) as told:
        mrdl.load_model(path)
    assert "\n" not in str(told.value) and "antigravity" not in sys.modules


def test_members_of_other_names_are_not_unpacked(tmp_path):
    path = archive(tmp_path / "m.keras", **{"../../../evil": b"x", "/tmp/evil": b"x", "assets/x.py": b"x"})
    assert mrdl.load_model(path).names() == ["one"]
    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]
    data = io.BytesIO(Path(path).read_bytes())
    Path(path).write_bytes(data.getvalue()[:-40])
    with pytest.raises(ConfigError, match="m.keras is damaged: "):
        mrdl.load_model(path)


def test_weights_of_another_model_are_refused_and_change_nothing(tmp_path):
    small().save_weights(path := str(tmp_path / "m.weights.h5"))
    model = mrdl.Sequential([Input(3), Dense(4)]).build()
    before = model.weights.copy()
    with pytest.raises(ConfigError, match=r"dense/kernel has the shape \(3, 2\), not \(3, 4\)"):
        model.load_weights(path)
    assert (model.weights == before).all()
    with pytest.raises(ConfigError, match="has no model, only weights: make the model, then model.load_weights"):
        mrdl.load_model(path)
    other = mrdl.Sequential([Input(3), Dense(2)])
    other.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="the optimizer is a fresh one: .* has 4 tensors, and SGD has 0"):
        other.load_weights(path)


def test_files_that_are_damaged_at_random_are_read_or_refused_in_one_line():
    done = subprocess.run([sys.executable, "-W", "ignore", SUPPORT / "fuzz_keras.py", str(CASES), str(CASES or 30)], capture_output=True, text=True,
                          check=False, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    print(told)
    assert sum(told.values()) == (CASES or 30) and told["read"] > 3 and told["refused"] > 3
