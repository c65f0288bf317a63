"""The base class of the jobs, on mrjob."""
import logging
import os
import select
import sys
import types
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

from mrdl.runners import registry, sharing
from mrdl.runners.mrjob_imports import MRJob, protocol
from mrdl.runners.splits import LARGEST_SPLIT, delivered, read_again
from mrdl.storage.pieces import LONGEST, Lines, bare, read_pieces

# without a handler, Python would print mrjob's "No configs specified" at every job
logging.getLogger("mrjob").addHandler(logging.NullHandler())


@lru_cache(None)
def _mrjob_options() -> ArgumentParser:
    """A parser with mrjob's own 180 options. It is cached, because making it takes 3 to 5 ms in every job and task."""
    parser = ArgumentParser(add_help=False)
    MRJob.configure_args(types.SimpleNamespace(arg_parser=parser))
    return parser


# settings for jobs on shards: each file is read by one mapper
LINE_ENDS = {"textinputformat.record.delimiter": "\n",         # alone: lines keep their carriage returns, as on all runners
             "mapreduce.input.linerecordreader.line.maxlength": str(LONGEST)}       # its JVM must hold them: see delivered()
WHOLE_FILES = {"mapreduce.input.fileinputformat.split.minsize": str(LARGEST_SPLIT)}


def _unread(pipe) -> bool:
    """Has the reader of this pipe closed it?"""
    poll = select.poll()
    poll.register(pipe.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class Job(MRJob):
    """An mrjob job that runs on mrdl's own runners: `-r inline`, `local`, `hadoop` (which sends mrdl to the nodes) and
    `spark`.

    Args:
        args: the arguments, as on a command line. None: this process's."""

    in_pieces = False       # whether the mapper's input comes many lines at a time, and what it yields may be several lines
    reduces_pieces = False  # whether the reducer's input comes so too

    def configure_args(self) -> None:
        """Adds mrjob's options. A job with options of its own overrides this method and calls it first."""
        self.arg_parser = ArgumentParser(usage=self._usage(), add_help=False,
                                         parents=[_mrjob_options()])

    def load_args(self, args: list[str]) -> None:
        """Parses the arguments, as mrjob does.

        Args:
            args: the command line's arguments."""
        if not {"-h", "--help"}.isdisjoint(args):
            for action in self.arg_parser._actions:     # mrjob handles --help only after it has parsed the rest
                action.required = False
        super().load_args(args)

    def execute(self) -> None:
        """Runs the job or its task, as mrjob does.

        If a task's JVM cannot write the output, it stops reading it; the task then ends with status 0, because only then
        does Hadoop streaming report the JVM's error. The attempt fails all the same."""
        streaming = "mapreduce_task_attempt_id" in os.environ and not self._stdout      # local tasks have one of their own
        try:
            super().execute()
            if streaming:
                self.stdout.flush()             # an error at Python's exit would change the exit status
        except BrokenPipeError:
            if not (streaming and _unread(self.stdout)):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stdout.fileno())     # for what is still buffered

    def run_mapper(self, step_num: int = 0) -> None:
        """Runs the mapper over the task's input, and shows the input file's name in YARN's pages.

        Args:
            step_num: the number of mrjob's step."""
        if file := os.environ.get("mapreduce_map_input_file"):
            self.set_status("reads " + file) 
        super().run_mapper(step_num)

    def _read_input(self) -> Iterator[bytes]:
        """The lines of the input; if the input is a list of files (mrdl.runners.sharing), the lines of these files."""
        if os.path.basename(os.environ.get("mapreduce_map_input_file", "")).startswith(sharing.SHARED):
            return sharing.lines(super()._read_input(), lambda path: self.set_status("reads " + path), self.in_pieces)
        if not hasattr(self.stdin, "read"):
            return super()._read_input()
        if self.options.run_reducer and self.reduces_pieces:
            return read_pieces(self.stdin, longest=sys.maxsize)
        if self.options.run_mapper and self.in_pieces:
            name = "mapreduce_map_input_"
            if name + "length" not in os.environ:
                return read_pieces(self.stdin)
            first = os.environ.get("mapreduce_task_attempt_id", "_0").endswith("_0")
            return (delivered if first else read_again)(
                self.stdin, os.environ[name + "file"], *(int(os.environ[name + key]) for key in ("start", "length")))
        return super()._read_input()

    def mapper(self, key, value) -> Iterator:
        """Passes its input on unchanged.

        It is defined here because mrjob otherwise sees no step in a job that has only a map_pairs().

        Args:
            key: the key that the input protocol has read.
            value: the value that it has read."""
        yield key, value

    @staticmethod
    def bare(line: bytes) -> bytes:
        """An input line without its line end, as mrjob strips it.

        Args:
            line: the line with its line end."""
        return line.rstrip(b"\r\n")

    def _wrap_protocols(self, step_num, step_type):
        read, _ = self.pick_protocols(step_num, step_type)
        _, write_line = super()._wrap_protocols(step_num, step_type)
        return lambda: (read(self.bare(line)) for line in self._read_input()), write_line

    def _runner_class(self):
        """Selects mrdl's own runners, so that a job started alone runs as it does under the driver."""
        name = self.options.runner or "inline"
        return registry.backend(name).kind if name in registry.RUNNERS else super()._runner_class()

    def _non_option_kwargs(self) -> dict:
        """Like mrjob's, but paths of file arguments may contain "#", after which mrjob expects the file's name in tasks."""
        given, self._cl_args = self._cl_args, [arg.replace("#", "\0") for arg in self._cl_args]
        kwargs = super()._non_option_kwargs()
        self._cl_args = given

        def restored(arg: str | dict) -> str | dict:
            return {**arg, "path": restored(arg["path"])} if isinstance(arg, dict) else arg.replace("\0", "#")
        return {**kwargs, "extra_args": [*map(restored, kwargs["extra_args"])]}

    def _runner_kwargs(self) -> dict:
        kwargs = super()._runner_kwargs()
        if self.options.runner == "local":
            kwargs["mrjob_cls"] = type(self)    # mrjob passes this only to its inline runner
        return kwargs


KEPT = 64 << 20                 # bytes


class RawLines(Job):
    """A job on raw files, whose mappers know the place of each line in its file."""
    INPUT_PROTOCOL = OUTPUT_PROTOCOL = protocol.BytesValueProtocol
    INTERNAL_PROTOCOL = protocol.BytesProtocol
    in_pieces = True

    def execute(self) -> None:
        """Runs the job or its task; a task keeps the memory that it frees, for the next lines."""
        if self.options.run_mapper or self.options.run_reducer:
            from mrdl.kernels import memory  # other jobs need no NumPy
            memory.keep(KEPT)
        super().execute()

    @staticmethod
    def bare(line: bytes) -> bytes:
        """The line with its carriage return, as each byte counts in the places of lines.

        Args:
            line: the line with its line end."""
        return bare(line)

    @staticmethod
    def splits(pairs: Iterator) -> Iterator[tuple[str, int, Lines]]:
        """For each file of the input its path, the byte where the input begins in it, and its lines.

        Args:
            pairs: what the input protocol has read."""
        for file, own in groupby(_late(piece for _, piece in pairs), lambda _: os.environ.get("mapreduce_map_input_file", "").removeprefix("file://")):
            yield file, int(os.environ.get("mapreduce_map_input_start", "0")), Lines(map(_piece, own))


def _late(pieces: Iterator[bytes]) -> Iterator[bytes | Exception]:
    """The pieces, and an error in reading them as one more: it is raised for whoever asks for that piece, who knows the file."""
    try:
        yield from pieces
    except Exception as error:          # noqa: BLE001 - raised by _piece
        yield error


def _piece(item: bytes | Exception) -> bytes:
    if isinstance(item, Exception):
        raise item
    return item
