"""A table as it lies, and models that know its columns."""
import csv
import io
from pathlib import Path
from tempfile import TemporaryFile

import mrdl
from mrdl.driver.fits import features_of
from mrdl.layers import Dense, Input
from mrdl.models.sequential import Sequential
from mrdl.worker.stream import Filter

HEADER = ["id", "name", "sex", "age", "port", "survived"]
ROWS = [[str(i), f'Doe, "Mr" {i}', "male" if i % 3 else "female", "" if i % 5 == 0 else str(20 + i % 30), "SCQ"[i % 7 % 3],
         "no" if i % 4 else "yes"] for i in range(60)]


def written(path: Path, rows=ROWS, header=HEADER, delimiter=",") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows([header, *rows] if header else rows)
    path.write_text(file.getvalue())
    return str(path)


def saved(data, folder: Path, outputs=2, activation="softmax", loss="sparse_categorical_crossentropy", metrics=("accuracy",)) -> str:
    """A model with drawn weights, as if it had been trained on a dataset."""
    model = Sequential([Input(data.shape), Dense(7, "relu"), Dense(outputs, activation)])
    model.compile("adam", loss, metrics=list(metrics))
    model.build(seed=3)
    model.features = features_of(data)
    model.save(str(folder))
    return str(folder)


def predicted(run: str, inputs, out: Path, runner="inline", **options) -> list[list[str]]:
    """The fields of each line of the parts, one after the other."""
    mrdl.predict(run, inputs, str(out), runner=runner, **options)
    return list(csv.reader(io.StringIO(joined(out))))


def through(run: str, data: bytes, **options) -> str:
    """What comes out of a pipe's filter."""
    with TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        return b"".join(Filter(mrdl.load_model(run), run, file.fileno(), **options)).decode()


def joined(out: Path) -> str:
    return "".join(path.read_text() for path in sorted(out.glob("part-*")))
