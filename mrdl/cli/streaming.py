"""`mrdl streaming`: stages rounds as Hadoop streaming jobs, which users run, and commits the jobs' output."""
import argparse
import shlex
from collections.abc import Callable
from functools import partial
from typing import Any

from mrdl.cli.show import say
from mrdl.driver.exchanges.staged import Committed, NotFinite, Staged, StagedExchange
from mrdl.runs.run import Run


def exchange(a: argparse.Namespace) -> Callable:
    """Makes the exchange for the driver: it prints the next round's command, or commits the last job's output."""
    take = getattr(a, "commit", None)
    return partial(StagedExchange, output=take or getattr(a, "output", None), take=take is not None)


def paused(a: argparse.Namespace, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Runs a driver with such an exchange; prints only the staged round's command on stdout."""
    try:
        return {"run": Run(a.run).url, "round": None, "finished": work()}
    except Staged as staged:
        say(f"{staged}: run the command, then: mrdl streaming {shlex.quote(a.run)} --commit {shlex.quote(staged.output)}")
        if not a.json:
            print(_shown(staged.command))
        return {"run": Run(a.run).url, "round": staged.round, "finished": None, "command": staged.command,
                "output": staged.output}
    except Committed as committed:
        say(f"{committed}; stage the next round with: mrdl streaming {shlex.quote(a.run)}")
        return {"run": Run(a.run).url, "round": committed.round, "finished": None, "finite": True}
    except NotFinite as again:
        say(f"{again}; stage it again at half the learning rate with: mrdl streaming {shlex.quote(a.run)}")
        return {"run": Run(a.run).url, "round": again.round, "finished": None, "finite": False}


def _shown(command: list[str]) -> str:
    """The command for a shell, an option a line."""
    lines: list[list[str]] = [[]]
    for word in command:
        if word.startswith("-") and len(lines[-1]):
            lines.append([])
        lines[-1].append(shlex.quote(word))
    return " \\\n    ".join(map(" ".join, lines))

