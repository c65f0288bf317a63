"""Writes event files with TensorBoard's own package, which needs no TensorFlow."""
import os
import time
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.metadata import create_summary_metadata
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

BUCKETS = 30                    # of a histogram, as in TensorBoard


class Events:
    """The event files of a folder's subfolders, each of which is a run to TensorBoard."""

    def __init__(self, folder: str):
        self.folder = folder
        self.writers: dict[str, EventFileWriter] = {}

    def _write(self, run: str, summary: Summary, step: int) -> None:
        if run not in self.writers:
            self.writers[run] = EventFileWriter(os.path.join(self.folder, run))
        self.writers[run].add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def hparams(self, values: dict[str, Any]) -> None:
        """Hyperparameters, of the folder itself."""
        self._write("", hparams_pb(values), 0)

    def scalar(self, run: str, tag: str, value: float, step: int) -> None:
        self._write(run, scalar_pb(tag, float(value)), step)

    def histogram(self, run: str, tag: str, values: np.ndarray, step: int) -> None:
        """A histogram of values that are finite. (TensorBoard's own function needs 40 bytes and more for each of them.)"""
        values = values[np.isfinite(values)]
        counts, edges = np.histogram(values, BUCKETS) if len(values) else (np.zeros(BUCKETS), np.zeros(BUCKETS + 1))
        made = Summary()
        made.value.add(tag=tag, metadata=create_summary_metadata(None, None),
                       tensor=make_tensor_proto(np.stack([edges[:-1], edges[1:], counts], 1), dtype=np.float64))
        self._write(run, made, step)

    def flush(self) -> None:
        for writer in self.writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()
        self.writers = {}
