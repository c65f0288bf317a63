"""The folds of a dataset: `data#2/5` is the dataset `data`, of which every fifth training shard, the second one first, is held out.

`prepare` deals rows to shards by chance, so each fold is a random part of the rows; nothing new is written."""
import os
import re
from collections.abc import Sequence

FOLD = re.compile(r"(.+)#(\d+)/(\d+)", re.DOTALL)


def apart(url: str) -> tuple[str, tuple[int, int] | None]:
    """The dataset's folder, and which fold of how many is held out; None: none."""
    found = FOLD.fullmatch(os.fspath(url))
    return (found[1], (int(found[2]), int(found[3]))) if found else (url, None)


def named(url: str, fold: int, folds: int) -> str:
    return f"{url}#{fold}/{folds}"


def roles(shards: Sequence, fold: int, folds: int, made: int | None = None) -> list[str | None]:
    """Of each shard "train" or "validation"; None of those that `prepare` held out, which no fold touches. ValueError, in words, where
    there are not enough shards. `made`: how many folds these were made for; None: any."""
    filled = [shard.index for shard in shards if shard.role == "train" and shard.n]
    if not 2 <= folds or not 1 <= fold <= folds:
        raise ValueError(f"fold {fold} of {folds}: there must be 2 folds or more, numbered from 1")
    if len(filled) < folds:
        raise ValueError(f"{folds} folds need as many training shards with rows, and there are {len(filled)}: make more with --shards "
                         f"(a multiple of {folds} makes folds of one size), or prepare the rows where raw ones cannot be cut into more")
    if made not in (None, folds):
        raise ValueError(f"{folds} folds: the groups of its raw rows were dealt to {made} folds")
    held = {*filled[fold - 1::folds]} if made is None else {index for index in filled if index % folds == fold - 1}
    if not held:
        raise ValueError(f"fold {fold} of {folds} has no rows: there are too few groups")
    return [None if shard.role != "train" else "validation" if shard.index in held else "train" for shard in shards]
