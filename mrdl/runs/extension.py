"""Continuing a run that has ended: which rules are possible, and which model the run has meanwhile."""
from shlex import quote

from mrdl.runs import stopping
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.storage.sealed import digest


def check(run: Run, history: stopping.History, rules: list[stopping.Rule], until: str | None,
          learning_rate: float | None) -> None:
    """Raises RunError if the run has already done more than the rules allow, or if a learning rate is given but no round
    is left to run."""
    r = len(history) - 1
    if r < 1:
        return
    for kind, what, done, least in (
            (stopping.Rounds, "rounds", r, r),
            (stopping.Epochs, "epochs", history[r]["progress"], history[r - 1]["epochs"] + 1)):
        for rule in rules:
            if isinstance(rule, kind) and rule.n < least:
                raise RunError(f"{run.url} has done {done:.6g} {what}: {what} must be {least} or more, not {rule.n}")
    if learning_rate is None:
        return
    known, done = run.options(), run.finished()
    ended = done and done["finite"] and until == known["options"]["until"]
    if learning_rate != (known["rate"] or {}).get("learning_rate") and (
            ended or any(rule.reason(history, r) for rule in rules if not rule.scored)):
        raise RunError(f"{run.url} has no rounds left to train at another learning rate: give a rule that ends later "
                       f"than its {r} rounds too, such as --rounds {2 * r}")


def behind(run: Run) -> str | None:
    """For a run that has continued after its end and not ended again: says which round its model is from; else None."""
    name = "model.safetensors"
    if not run.exists() or run.store.exists("finished.json") or not run.store.exists(name):
        return None
    ended, now, of = run.ended(), max(run.rounds(), default=0), "an earlier end"
    if ended and ended["files"][name] == digest(run.store.read(name)):
        if ended["best"] == now:                # no round was committed since
            return None
        of = f"round {ended['best']}"
    return f"the model is that of {of}; the run has since gone on to round {now}; to finish it: mrdl resume {quote(run.url)}"
