"""The commands for operators, `mrdl runs, stop, clean`, and the hook of --on-finish."""
import argparse
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from shlex import quote
from typing import Any

from mrdl.cli.show import say
from mrdl.config import need
from mrdl.driver import oversight
from mrdl.printing import columns, counted, terminal
from mrdl.report.progress import clock
from mrdl.runs.stop_request import RunStopped
from mrdl.storage.schemes import store_at


def runs(a: argparse.Namespace) -> list[dict[str, Any]]:
    found = oversight.runs(a.folder)
    if not a.json:
        _table(store_at(a.folder).url, found)
    return found


def _table(folder: str, found: list[dict[str, Any]]) -> None:
    """Prints one line per run, cut to the terminal's width."""
    if not found:
        return say(f"{folder}: no runs")
    # METRIC: that of the model, or if there is no model yet, the best so far
    rows = [("RUN", "STATE", "ROUNDS", "METRIC", "LAST COMMIT", "NOTE"), *(_row(folder, run) for run in found)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    room = columns(sys.stdout) if terminal(sys.stdout) else None
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()[:room])


def _row(folder: str, run: dict[str, Any]) -> tuple[str, ...]:
    value = run["value"]
    best = "" if not isinstance(value, (int, float)) else f"{run['metric']} {value:.4f} (round {run['best']})"
    note = f"pid {run['pid']} on {run['host']}" if run["pid"] else " ".join((run["reason"] or "").split())
    inside = folder.rstrip("/") + "/"
    return (run["run"].removeprefix(inside) if run["run"] != folder else ".", run["state"], str(run["rounds"]), best,
            "" if run["age"] is None else f"{clock(run['age'])} ago",
            note.replace(inside, ""))


def stop(a: argparse.Namespace) -> dict[str, Any]:
    """`mrdl stop`; raises RuntimeError (status 1) if the driver has not ended after --wait seconds."""
    need(a.wait >= 0, f"--wait {a.wait:g}: must be 0 or more")
    found = oversight.stop(a.run, a.wait)
    driver = f"the driver (pid {found['pid']} on {found['host']})"
    done = (f"the run has {'finished' if found['finished'] else 'stopped'} after round {found['rounds']}"
            + ("" if found["finished"] else f"; go on with: mrdl resume {quote(a.run)}"))
    when = f"round {found['rounds'] + 1} is committed"
    if found["search"]:
        done, when = f"mrdl show {quote(a.run)} tells how far the search is", "its present job has ended"
    if not found["asked"]:
        say(f"no driver works on {found['run']}: {done}")
    elif found["ended"]:
        say(f"{driver} has ended: {done}")
    elif a.wait:
        raise RuntimeError(f"{driver} was asked to end, but has not after {clock(a.wait)}: it ends when the current round is done")
    else:
        say(f"{driver} was asked to end; it will when {when}")
    return found


def clean(a: argparse.Namespace) -> dict[str, Any]:
    found = oversight.clean(a.run, a.cache)
    for path in found["removed"]:
        say(f"removed {path}")
    for path in found["kept"]:
        say(f"kept {path}: workers of the dead driver may still wait there; try again in a few minutes")
    say(f"{counted(len(found['removed']), 'leftover')} removed" if found["removed"] else f"{found['run']} holds no leftovers")
    return found


def hooked(command: Callable) -> Callable:
    """Wraps a command so that the shell command of --on-finish runs when it ends, in whatever way."""
    @functools.wraps(command)
    def run(a: argparse.Namespace) -> dict[str, Any]:
        try:
            done = command(a)
        except BaseException as error:
            status = ("stopped" if isinstance(error, RunStopped) else
                      "failed" if isinstance(error, Exception) else "interrupted")
            _tell(a, status, str(error) or (
                "interrupted (Ctrl-C)" if isinstance(error, KeyboardInterrupt) else type(error).__name__))
            raise
        if "reason" in done:            # there is no reason if a round was staged
            _tell(a, "finished", done["reason"])
        return done
    return run


def _tell(a: argparse.Namespace, status: str, reason: str) -> None:
    """Runs the hook, with its output on stderr. If it fails, the command's result does not change."""
    if not a.on_finish:
        return
    sys.stderr.flush()
    ended = subprocess.run(a.on_finish, shell=True, stdin=subprocess.DEVNULL, stdout=2, check=False, env={
        **os.environ, "MRDL_RUN": a.run, "MRDL_STATUS": status, "MRDL_REASON": reason.replace("\0", "")[:10_000]}).returncode
    if ended:
        say(f"warning: --on-finish {a.on_finish!r} ended with status {ended}")
