"""The command line: prepare, describe, train, resume, evaluate, predict, generate, show."""
import json
import sys

from mrdl.cli.arguments import parser
from mrdl.cli.commands import resume, train
from mrdl.cli.show import say
from mrdl.cluster import JobFailed


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0; 1 where a worker failed or training diverged; 2 for wrong input."""
    a = parser().parse_args(arguments)
    try:
        facts = a.function(a)
    except KeyboardInterrupt:
        say("mrdl: interrupted" + (f"; go on with: mrdl resume {a.run}"
                                   if a.function in (train, resume) else ""))
        return 130
    except BrokenPipeError:                     # who reads has enough, as `head` has
        sys.stdout = None
        return 141
    except OSError as error:
        say(f"mrdl: {error.filename}: {error.strerror}" if error.filename else f"mrdl: {error}")
        return 2
    except ValueError as error:
        say(f"mrdl: {error}")
        return 2
    except (RuntimeError, JobFailed) as error:
        say(f"mrdl: {error}")
        return 1
    if a.json:
        print(json.dumps(facts))
    return 0
