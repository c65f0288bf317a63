"""Loads files of Keras that are damaged at random; prints how many of each kind were read, refused, and ended HDF5's process.

python fuzz_keras.py SEED COUNT: HDF5 reads each in a fork of this process, with the limits that mrdl sets, as that is far quicker
than a new Python each. Anything but a model or one line of an error ends it with a traceback and the number of the file."""
import contextlib
import io
import json
import os
import random
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import h5py  # noqa: F401  before forks
import numpy as np
from fuzzing import damaged, flipped

import mrdl
from mrdl.layers import LSTM, BatchNormalization, Bidirectional, Conv2D, Dense, Flatten, Input
from mrdl.models.formats import hdf5, hdf5_child, keras_file

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


def main(seed: int, count: int) -> None:
    told: Counter = Counter()
    hdf5.asked = forked
    with tempfile.TemporaryDirectory() as folder:
        made = files(folder)
        fresh = {name: mrdl.load_model(f"{folder}/{name.split('.')[0]}.keras") for name in made}
        for number in range(seed, seed + count):
            draw = random.Random(number)
            name = draw.choice(list(made))
            path = f"{folder}/damaged{name[name.index('.'):]}"
            Path(path).write_bytes(changed(name, made[name], draw))
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
            assert set(os.listdir(folder)) <= {*made, "damaged.keras", "damaged.h5", "damaged.weights.h5"}, number
    print(json.dumps(told))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
