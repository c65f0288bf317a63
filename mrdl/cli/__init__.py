"""The command line: prepare, describe, train, resume, search, evaluate, predict, score, export, generate, show, streaming, runs, stop,
clean."""
import errno
import json
import os
import signal
import sys
import tempfile
import traceback
from shlex import quote

from mrdl import limits
from mrdl.cli.arguments import parser
from mrdl.cli.commands import resume, train
from mrdl.cli.search import search
from mrdl.cli.show import say
from mrdl.config import cut
from mrdl.runners.failures import JobFailed
from mrdl.runs.stop_request import RunStopped


class Ended(KeyboardInterrupt):
    """A signal ends the command: everything that runs is ended and cleaned up, as after Ctrl-C."""

    def __str__(self) -> str:
        return f"ended by {self.args[0].name}"


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status: 0; 1 if a worker failed or training diverged; 2 for wrong input; 3 if
    `mrdl stop` ended the driver; 128 plus the signal's number after a signal, such as 130 after Ctrl-C.

    An unexpected error is also printed as one line, with status 1; if `arguments` are given (a call from Python), it is
    raised."""
    a = parser().parse_args(arguments)
    limits.most = getattr(a, "max_memory", None)
    if arguments is None:
        _obey()
    try:
        facts = _traced(a)
        if a.json:
            print(json.dumps(facts))
        if sys.stdout is not None:
            sys.stdout.flush()
    except RunStopped as stopped:
        say(f"mrdl: {stopped}; go on with: mrdl resume {quote(a.run)}")
        return 3
    except KeyboardInterrupt as error:
        number = error.args[0] if isinstance(error, Ended) else signal.SIGINT
        say(f"mrdl: {str(error) or 'interrupted'}" + (
            f"; go on with: mrdl resume {quote(a.run)}" if a.function in (train, resume, search) else ""))
        return 128 + number
    except BrokenPipeError:                     # the reader has closed the pipe, as `head` does
        sys.stdout = None
        return 141
    except OSError as error:
        if error.errno == errno.ENOSPC and not error.filename:      # only temporary files are written without a name
            error.filename = tempfile.gettempdir()
            error.strerror += "; set TMPDIR to another folder for temporary files"
        say(cut(f"mrdl: {error.filename}: {error.strerror}" if error.filename else f"mrdl: {error}"))
        return 2
    except ValueError as error:
        say(cut(f"mrdl: {error}"))
        return 2
    except MemoryError as error:
        say(f"mrdl: out of memory: {error}".removesuffix(": "))
        return 1
    except Exception as error:
        told = isinstance(error, (RuntimeError, JobFailed)) and not isinstance(
            error, (RecursionError, NotImplementedError))       # in Python these are kinds of RuntimeError
        if not told and arguments is not None:
            raise
        say(cut(f"mrdl: {error}" if told else f"mrdl: internal error: {type(error).__name__}: "
                f"{' '.join(str(error).split())}; run again with --debug to see where"))
        if isinstance(error, JobFailed) and a.function in (train, resume, search):
            say(f"go on with: mrdl resume {quote(a.run)}")
        return 1
    return 0


def _obey() -> None:
    """Makes SIGTERM and SIGHUP end the command, unless they were ignored when it began (nohup). Further signals are
    ignored, because schedulers send several."""
    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def end(number, frame):
        for other in wanted:
            signal.signal(other, signal.SIG_IGN)
        for stream in terminals:
            if not os.isatty(stream):           # the terminal was closed: later messages must not fail
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        raise Ended(signal.Signals(number))
    for number in wanted:
        signal.signal(number, end)


def _traced(a):
    """Runs the command and returns its result; with --debug, prints an error's traceback before its one line."""
    try:
        return a.function(a)
    except Exception:
        if a.debug:
            traceback.print_exc()
        raise
