"""Loads files of Keras that are damaged at random; prints how many of each kind were read, refused, and ended HDF5's process.

Half of them are whole files in which the parts are exchanged: attributes and tensors swapped, sizes that no machine holds, links to
other files and places, layers with code, numbers of any kind in the JSON. Nothing that a file says is executed: a file in the folder
would show it.

python fuzz_keras.py SEED COUNT: HDF5 reads each in a fork of this process, with the limits that mrdl sets, as that is far quicker
than a new Python each. Anything but a model or one line of an error ends it with a traceback and the number of the file."""
import base64
import contextlib
import copy
import io
import json
import marshal
import os
import random
import resource
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import h5py  # before forks
import numpy as np
from fuzzing import damaged, flipped

import mrdl
from mrdl.layers import LSTM, BatchNormalization, Bidirectional, Conv2D, Dense, Flatten, Input
from mrdl.models.formats import hdf5, hdf5_child, keras_file

MOST = 2 << 20                  # KiB of memory that this process may ever have
SECONDS = 2                     # of computing that HDF5 has for one of these small files


def forked(path: str, out: str, seconds: int, most: int) -> tuple[int, bytes, bytes]:
    """hdf5.asked, in a fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with contextlib.suppress(BaseException), os.fdopen(writing, "w") as sys.stdout:
            sys.argv = ["", path, out, str(SECONDS), str(most)]
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            hdf5_child.main()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        said = told.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said, b""


def files(folder: str) -> dict[str, bytes]:
    """One of each kind, of small models."""
    made = {}
    images = mrdl.Sequential([Input((4, 4, 1)), Conv2D(2, 3), BatchNormalization(), Flatten(), Dense(2, "softmax")])
    images.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = Input((3, 2))
    sequences = mrdl.Model(x, Dense(1)(abs(Bidirectional(LSTM(2))(x * 2))[:, ::2] / 3))
    for name, model in (("images", images), ("sequences", sequences)):
        for end in (".keras", ".h5", ".weights.h5"):
            path = f"{folder}/{name}{end}"
            (model.save_weights if end == ".weights.h5" else model.save)(path)
            made[name + end] = Path(path).read_bytes()
    return made


def changed(name: str, content: bytes, draw: random.Random) -> bytes:
    """A damaged file: for an archive, as often one of its members as the whole."""
    likely = b"\0\1\x7f\x80\xff"
    if not name.endswith(".keras") or draw.random() < 0.3:
        return (flipped if draw.random() < 0.7 else damaged)(content, draw, likely)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    which = draw.choice(list(members))
    members[which] = (damaged(members[which], draw, b'{}[]",:0e-ntf\\') if which.endswith(".json") else flipped(members[which], draw, likely))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return file.getvalue()


CODE = "import os; open('executed', 'w')"
LAMBDA = {"class_name": "Lambda", "module": "keras.layers", "registered_name": None, "config": {"name": "x", "function": {
    "class_name": "__lambda__", "config": {"code": base64.b64encode(marshal.dumps(compile(CODE, "", "exec"))).decode(), "defaults": None, "closure": None}}}}
CALL = {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "exec"}
VALUES = [None, True, -1, 0, 1 << 31, 1 << 62, 1e308, float("nan"), "", "x" * 1000, [], {}, [[]], [1 << 40, 1 << 40], LAMBDA, CALL, [LAMBDA],
          {"class_name": "os.system", "config": {"command": "touch executed"}}, "Lambda", "__lambda__", "../../etc/passwd", "hdfs://x/y", "\u0000"]


def places(value: Any, found: list | None = None) -> list:
    """All (container, key) of what JSON says."""
    found = [] if found is None else found
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found.append((value, key))
        places(value[key], found)
    return found


def exchanged(text: str | bytes, draw: random.Random) -> str:
    """JSON with a few other values: of VALUES, of other places, or taken away."""
    told = json.loads(text)
    for _ in range(draw.choice((1, 1, 2, 4))):
        if not (there := places(told)):
            break
        (home, key), (other, at) = draw.choice(there), draw.choice(there)
        kind = draw.randrange(4)
        if kind == 0 and isinstance(home, dict):
            home.pop(key, None)
        elif kind == 1:
            home[key] = copy.deepcopy(other[at])
        elif kind == 2 and isinstance(home[key], list) and len(home[key]) < 100:
            home[key] = home[key] * draw.choice((2, 1000))
        else:
            home[key] = copy.deepcopy(draw.choice(VALUES))
    return json.dumps(told)


def exchange(root: h5py.File, groups: list, tensors: list, draw: random.Random) -> None:
    """Exchanges one part of a file."""
    kind, group, name = draw.randrange(9), draw.choice(groups), draw.choice(["layers", "vars", "0", "x", "model_weights", "optimizer_weights"])
    tensor = draw.choice(tensors) if tensors else None
    if kind == 0 and group.attrs:
        key, other = draw.choice(list(group.attrs)), draw.choice([*groups, *tensors])
        other.attrs[key] = group.attrs[key]
    elif kind == 1 and group.attrs:
        key = draw.choice(list(group.attrs))
        group.attrs[key] = draw.choice([b"", b"x" * 5000, np.array([b"a", b"a"]), 7, np.zeros(3), np.zeros((0,), "S1"), "\u00e9", np.array([b"../x"] * 50)])
    elif kind == 2 and tensor is not None and tensor.name:
        where = tensor.name
        del root[where]
        tensors.remove(tensor)
        if draw.random() < 0.5:
            root.create_dataset(where, draw.choice([(1 << 20, 1 << 20), (1 << 40,), (0,), (), (3, 2), (1 << 16, 1 << 16)]),
                                draw.choice(["f4", "f8", "f2", "i8", "u1", "c8", "S5"]), chunks=draw.choice([None, None, True])
                                if draw.random() < 0.3 else None)
    elif kind == 3 and name not in group:
        group[name] = draw.choice([h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink("/"), h5py.SoftLink("layers"), h5py.ExternalLink("m.h5", "/")])
    elif kind == 4 and name not in group:
        group[name] = draw.choice([*groups, *tensors])
    elif kind == 5 and name not in group:
        group.create_dataset(name, (100,), "u1", external=[("/etc/passwd", 0, 100)])
    elif kind == 6 and len(tensors) > 1:
        one, other = draw.sample(tensors, 2)
        a, b = one.name, other.name
        if a and b:
            root.move(a, "swapped")
            root.move(b, a)
            root.move("swapped", b)
    elif kind == 7 and name not in group:
        group.create_dataset(name, data=np.zeros(1 << 16, "u1"), compression=draw.choice(["gzip", "lzf"]), chunks=(1 << 16,))
    else:
        for key in ("model_config", "training_config", "mrdl"):
            if key in root.attrs and draw.random() < 0.7:
                root.attrs[key] = exchanged(root.attrs[key], draw)


def rebuilt(content: bytes, draw: random.Random) -> bytes:
    """An HDF5 file with some parts exchanged."""
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as root:
        groups, tensors = [root], []
        root.visititems(lambda _, item: (groups if isinstance(item, h5py.Group) else tensors).append(item))
        for _ in range(draw.choice((1, 1, 2, 3))):
            with contextlib.suppress(Exception):         # h5py does not write everything
                exchange(root, groups, tensors, draw)
    return file.getvalue()


def reassembled(name: str, content: bytes, draw: random.Random) -> bytes:
    """A file with some parts exchanged, whole in itself."""
    if not name.endswith(".keras"):
        return rebuilt(content, draw)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    for which in draw.sample(list(members), draw.choice((1, 1, 2))):
        members[which] = exchanged(members[which], draw).encode() if which.endswith(".json") else rebuilt(members[which], draw)
    if draw.random() < 0.1:
        members[draw.choice(["../executed", "/tmp/x", "config.json/x", "model.weights.h5.h5"])] = b"x"
    if draw.random() < 0.05:
        members[draw.choice(list(members))] = b"\0" * (1 << 24)          # packed, it is small
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return file.getvalue()


def main(seed: int, count: int) -> None:
    told: Counter = Counter()
    hdf5.asked = forked
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)                        # where code would leave a file
        made = files(folder)
        fresh = {name: mrdl.load_model(f"{folder}/{name.split('.')[0]}.keras") for name in made}
        for number in range(seed, seed + count):
            draw = random.Random(number)
            name = draw.choice(list(made))
            path = f"{folder}/damaged{name[name.index('.'):]}"
            Path(path).write_bytes((reassembled if number % 2 else changed)(name, made[name], draw))
            try:
                if keras_file.is_weights(path):
                    fresh[name].load_weights(path)
                else:
                    mrdl.load_model(path).predict(np.zeros((1, 4, 4, 1) if name.startswith("images") else (1, 3, 2), "f4"))
                told["read"] += 1
            except (ValueError, OSError) as error:
                assert "\n" not in str(error) and str(error), number
                ended = "HDF5's library failed" in str(error)
                told["ended by " + str(error).rpartition("(")[2][:-1] if ended else "refused"] += 1
            except BaseException as error:
                error.add_note(f"number {number}, {name}")
                raise
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < MOST, f"{number} took more memory than {MOST} KiB"
            assert set(os.listdir(folder)) <= {*made, "damaged.keras", "damaged.h5", "damaged.weights.h5"}, number
    print(json.dumps(told))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
