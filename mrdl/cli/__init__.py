"""The command line: prepare, describe, train, resume, evaluate, predict, generate, show, runs, stop, clean."""
import json
import sys
import traceback

from mrdl.cli.arguments import parser
from mrdl.cli.commands import resume, train
from mrdl.cli.show import say
from mrdl.cluster import JobFailed
from mrdl.stop_request import RunStopped


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0; 1 where a worker failed or training diverged; 2 for wrong input; 3 where
    `mrdl stop` ended the driver; 130 after Ctrl-C.

    An error of a kind that nobody foresaw is one line too, with status 1; where `arguments` are given,
    as from Python, it is raised."""
    a = parser().parse_args(arguments)
    try:
        facts = _traced(a)
    except KeyboardInterrupt:
        say("mrdl: interrupted" + (f"; go on with: mrdl resume {a.run}"
                                   if a.function in (train, resume) else ""))
        return 130
    except RunStopped as stopped:
        say(f"mrdl: {stopped}; go on with: mrdl resume {a.run}")
        return 3
    except BrokenPipeError:                     # who reads has enough, as `head` has
        sys.stdout = None
        return 141
    except OSError as error:
        say(f"mrdl: {error.filename}: {error.strerror}" if error.filename else f"mrdl: {error}")
        return 2
    except ValueError as error:
        say(f"mrdl: {error}")
        return 2
    except MemoryError as error:
        say(f"mrdl: out of memory: {error}".removesuffix(": "))
        return 1
    except Exception as error:
        told = isinstance(error, (RuntimeError, JobFailed)) and not isinstance(
            error, (RecursionError, NotImplementedError))       # RuntimeErrors to Python
        if not told and arguments is not None:
            raise
        say(f"mrdl: {error}" if told else f"mrdl: internal error: {type(error).__name__}: "
            f"{' '.join(str(error).split())}; run again with --debug to see where")
        return 1
    if a.json:
        print(json.dumps(facts))
    return 0


def _traced(a):
    """What the command gives; with --debug an error's traceback is shown before its one line."""
    try:
        return a.function(a)
    except Exception:
        if a.debug:
            traceback.print_exc()
        raise
