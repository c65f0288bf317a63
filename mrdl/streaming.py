"""The base class of the jobs, on mrjob and any Python from 3.10 on, and how Hadoop spreads keys.

All of the project's imports from mrjob go through here, because mrjob 0.7.4 imports modules that
Python dropped in 3.12 and 3.13."""
import logging
import os
import re
import shlex
import shutil
import sys
import types
import warnings
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, total_ordering
from urllib.parse import quote

import numpy as np


@total_ordering
class _LooseVersion:
    """Enough of distutils' LooseVersion for mrjob: numbers and words, compared in turn."""

    def __init__(self, text: str):
        self.parts = [(0, int(part), "") if part.isdigit() else (1, 0, part)
                      for part in re.findall(r"\d+|[a-z]+", text)]

    def __eq__(self, other) -> bool:
        return self.parts == other.parts

    def __lt__(self, other) -> bool:
        return self.parts < other.parts


def _urlopen(*arguments, **named):
    from urllib.request import urlopen
    return urlopen(*arguments, **named)


# urllib.request takes a task 30 ms to import, for a function that mrjob calls on EMR alone
_STAND_INS = {"urllib.request": {"pathname2url": quote, "urlopen": _urlopen}, "pipes": {"quote": shlex.quote}, "distutils": {},
              "distutils.spawn": {"find_executable": shutil.which},
              "distutils.version": {"LooseVersion": _LooseVersion}}


@contextmanager
def stand_ins() -> Iterator[None]:
    """Puts small modules where Python has none any more, or slow ones, or setuptools some that warn."""
    before = {name: sys.modules.get(name) for name in _STAND_INS}
    for name, names in _STAND_INS.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # mrjob's old escapes
        yield
    for name, module in before.items():
        if module:
            sys.modules[name] = module
        elif name != "pipes":       # for which mrjob's other runners ask later
            del sys.modules[name]


with stand_ins():
    from mrjob import protocol
    from mrjob.job import MRJob
    from mrjob.step import MRStep, StepFailedException

# without a handler, Python would print mrjob's "No configs specified" at every job
logging.getLogger("mrjob").addHandler(logging.NullHandler())

__all__ = ["LARGEST_SPLIT", "WHOLE_FILES", "Job", "MRStep", "StepFailedException", "partition", "protocol", "spread",
           "stand_ins"]


@lru_cache(None)
def _mrjob_options() -> ArgumentParser:
    """mrjob's own 180 options, made once: they cost every job and task 3 to 5 ms."""
    parser = ArgumentParser(add_help=False)
    MRJob.configure_args(types.SimpleNamespace(arg_parser=parser))
    return parser


LARGEST_SPLIT = (1 << 63) - 1
SHARED = "mrdl-files-"          # begins the name of an input that names files, a line each (mrdl.sharing)
# settings of jobs on shards: one file is one mapper's
WHOLE_FILES = {"mapreduce.input.fileinputformat.split.minsize": str(LARGEST_SPLIT)}


class Job(MRJob):
    """An mrjob job that runs on mrdl's own runners: `-r inline`, `local`, `hadoop` (mrdl goes along to the nodes) and
    `spark`."""

    def configure_args(self) -> None:
        self.arg_parser = ArgumentParser(usage=self._usage(), add_help=False,
                                         parents=[_mrjob_options()])

    def load_args(self, args: list[str]) -> None:
        if not {"-h", "--help"}.isdisjoint(args):
            for action in self.arg_parser._actions:     # mrjob looks for --help when it has parsed the rest
                action.required = False
        super().load_args(args)

    def run_mapper(self, step_num: int = 0) -> None:
        if file := os.environ.get("mapreduce_map_input_file"):
            self.set_status("reads " + file)    # seen in YARN's pages
        super().run_mapper(step_num)

    def _read_input(self) -> Iterator[bytes]:
        """mrjob's lines, or those of the files that they name."""
        lines = super()._read_input()
        if os.path.basename(os.environ.get("mapreduce_map_input_file", "")).startswith(SHARED):
            from mrdl import sharing  # for the few tasks that need it
            return sharing.lines(lines, lambda path: self.set_status("reads " + path))
        return lines

    def mapper(self, key, value) -> Iterator:
        """Passes on what it gets. Defined, so that a job with only a map_pairs() has a step."""
        yield key, value

    @staticmethod
    def bare(line: bytes) -> bytes:
        """An input line without its end, as mrjob has it."""
        return line.rstrip(b"\r\n")

    def _wrap_protocols(self, step_num, step_type):
        read, _ = self.pick_protocols(step_num, step_type)
        _, write_line = super()._wrap_protocols(step_num, step_type)
        return lambda: (read(self.bare(line)) for line in self._read_input()), write_line

    def _runner_class(self):
        """mrdl's own runners, so that a job by itself runs as it does under a driver. They need this module first."""
        if self.options.runner == "hadoop":
            from mrdl.hadoop import HadoopRunner
            return HadoopRunner
        if self.options.runner == "spark":
            from mrdl.spark import SparkRunner
            return SparkRunner
        from mrdl.embedded import RUNNERS
        return RUNNERS.get(self.options.runner or "inline") or super()._runner_class()

    def _non_option_kwargs(self) -> dict:
        """As mrjob's, but for a # in the path of a file argument: to mrjob, a name in tasks follows it."""
        given, self._cl_args = self._cl_args, [arg.replace("#", "\0") for arg in self._cl_args]
        kwargs = super()._non_option_kwargs()
        self._cl_args = given

        def restored(arg: str | dict) -> str | dict:
            return {**arg, "path": restored(arg["path"])} if isinstance(arg, dict) else arg.replace("\0", "#")
        return {**kwargs, "extra_args": [*map(restored, kwargs["extra_args"])]}

    def _runner_kwargs(self) -> dict:
        kwargs = super()._runner_kwargs()
        if self.options.runner == "local":
            kwargs["mrjob_cls"] = type(self)    # mrjob gives it to its inline runner only
        return kwargs


@lru_cache(1 << 16)
def partition(key: bytes, reducers: int, sort_values: bool = False) -> int:
    """The reducer that gets `key`, as Hadoop streaming picks it.

    Text.hashCode starts at 1; KeyFieldBasedPartitioner, which mrjob takes for SORT_VALUES, at 0."""
    code = 0 if sort_values else 1
    for byte in key:
        code = (31 * code + (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF
    return (code & 0x7FFFFFFF) % reducers


_LETTERS = b"0123456789abcdefghijklmnopqrstuvwxyz"


@lru_cache(None)
def _suffix_hashes(length: int) -> np.ndarray:
    """What each suffix of this length adds to the hash of what stands before it."""
    letters = np.frombuffer(_LETTERS, np.uint8).astype(np.uint32)
    codes = np.zeros(1, np.uint32)
    for _ in range(length):
        codes = (codes[:, None] * np.uint32(31) + letters).ravel()
    return codes


def spread(names: list[str], reducers: int, sort_values: bool = False) -> list[str]:
    """Keys "name.suffix": key i goes to reducer i % reducers (shortest, then smallest suffix)."""
    return [_key(name + ".", i % reducers, reducers, sort_values) for i, name in enumerate(names)]


def _key(stem: str, wanted: int, reducers: int, sort_values: bool) -> str:
    before = partition(stem.encode(), 1 << 32, sort_values)
    for length in range(1, 6):
        # the hash is linear: all suffixes of a length in one line
        codes = _suffix_hashes(length) + np.uint32(before * 31**length & 0xFFFFFFFF)
        fits = (codes & np.uint32(0x7FFFFFFF)) % np.uint32(reducers) == wanted
        if fits.any():
            code = int(fits.argmax())
            places = [36**i for i in reversed(range(length))]
            return stem + "".join(chr(_LETTERS[code // place % 36]) for place in places)
    raise ValueError(f"no key that starts with {stem!r} goes to reducer {wanted} of {reducers}")
