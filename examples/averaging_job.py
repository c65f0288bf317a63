"""A MapReduce job of your own: mappers train a network on their lines of CSV, the reducer averages its weights.

    python examples/averaging_job.py -r hadoop hdfs:///raw/digits > round1
    python examples/averaging_job.py -r hadoop --weights round1 hdfs:///raw/digits > round2
"""
import os

import numpy as np

import mrdl
from mrdl.layers import Dense, Rescaling
from mrdl.partial import Partial, PartialProtocol, merge
from mrdl.streaming import WHOLE_FILES, Job


def network() -> mrdl.Sequential:
    model = mrdl.Sequential([Rescaling(1 / 16), Dense(32, "relu"), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.build((64,), seed=0)


def weights_of(path: str) -> np.ndarray:
    """What a job wrote."""
    with open(path, "rb") as file:
        return PartialProtocol().read(file.read().rstrip(b"\n"))[1].values


class Averaging(Job):
    """Lines "label,pixel0,...,pixel63" in, one line with the mean weights out."""
    INTERNAL_PROTOCOL = OUTPUT_PROTOCOL = PartialProtocol
    JOBCONF = WHOLE_FILES       # a file is one mapper's on every runner: the same parts, the same bits
    SORT_VALUES = True          # merge() takes the workers' weights in order, so that sums have the same bits

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--weights", help="what the job before wrote: to go on from")

    def mapper_init(self):
        self.rows = []

    def mapper(self, _, line):
        if line[:1].isdigit():  # no header
            self.rows.append(line.split(","))

    def mapper_final(self):
        if self.rows:
            rows, model = np.array(self.rows, "f4"), network()
            if self.options.weights:
                model.weights[:] = weights_of(self.options.weights)
            model.fit(rows[:, 1:], rows[:, 0].astype("i4"), epochs=3, batch_size=16, verbose=0)
            worker = int(os.environ["mapreduce_task_partition"])
            yield "weights", Partial(worker, len(rows), model.weights)

    def reducer(self, key, partials):
        yield from merge(key, partials)     # weighted by rows, summed in float64


if __name__ == "__main__":
    Averaging.run()
