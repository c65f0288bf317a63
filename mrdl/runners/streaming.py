"""The base class of the jobs, on mrjob."""
import logging
import os
import types
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import lru_cache

from mrdl.runners import registry, sharing
from mrdl.runners.mrjob_imports import MRJob
from mrdl.runners.splits import LARGEST_SPLIT

# without a handler, Python would print mrjob's "No configs specified" at every job
logging.getLogger("mrjob").addHandler(logging.NullHandler())


@lru_cache(None)
def _mrjob_options() -> ArgumentParser:
    """mrjob's own 180 options, made once: they cost every job and task 3 to 5 ms."""
    parser = ArgumentParser(add_help=False)
    MRJob.configure_args(types.SimpleNamespace(arg_parser=parser))
    return parser


# settings of jobs on shards: one file is one mapper's
WHOLE_FILES = {"mapreduce.input.fileinputformat.split.minsize": str(LARGEST_SPLIT)}


class Job(MRJob):
    """An mrjob job that runs on mrdl's own runners: `-r inline`, `local`, `hadoop` (mrdl goes along to the nodes) and
    `spark`.

    Args:
        args: the arguments, as on a command line. None: those of this process."""

    def configure_args(self) -> None:
        """mrjob's options; a job of your own calls this first, then adds its own."""
        self.arg_parser = ArgumentParser(usage=self._usage(), add_help=False,
                                         parents=[_mrjob_options()])

    def load_args(self, args: list[str]) -> None:
        """Parses the arguments, as mrjob does.

        Args:
            args: those of the command line."""
        if not {"-h", "--help"}.isdisjoint(args):
            for action in self.arg_parser._actions:     # mrjob looks for --help when it has parsed the rest
                action.required = False
        super().load_args(args)

    def run_mapper(self, step_num: int = 0) -> None:
        """Runs the mapper over the task's input, and says in YARN's pages which file that is.

        Args:
            step_num: mrjob's number of the step."""
        if file := os.environ.get("mapreduce_map_input_file"):
            self.set_status("reads " + file)    # seen in YARN's pages
        super().run_mapper(step_num)

    def _read_input(self) -> Iterator[bytes]:
        """mrjob's lines, or those of the files that they name."""
        lines = super()._read_input()
        if os.path.basename(os.environ.get("mapreduce_map_input_file", "")).startswith(sharing.SHARED):
            return sharing.lines(lines, lambda path: self.set_status("reads " + path))
        return lines

    def mapper(self, key, value) -> Iterator:
        """Passes on what it gets.

        Defined, so that a job with only a map_pairs() has a step.

        Args:
            key: what the input protocol read as the key.
            value: what it read as the value."""
        yield key, value

    @staticmethod
    def bare(line: bytes) -> bytes:
        """An input line without its end, as mrjob has it.

        Args:
            line: with its end."""
        return line.rstrip(b"\r\n")

    def _wrap_protocols(self, step_num, step_type):
        read, _ = self.pick_protocols(step_num, step_type)
        _, write_line = super()._wrap_protocols(step_num, step_type)
        return lambda: (read(self.bare(line)) for line in self._read_input()), write_line

    def _runner_class(self):
        """mrdl's own runners, so that a job by itself runs as it does under a driver."""
        name = self.options.runner or "inline"
        return registry.backend(name).kind if name in registry.RUNNERS else super()._runner_class()

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
