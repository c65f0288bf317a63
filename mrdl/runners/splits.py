"""A job's inputs, cut into what one mapper reads each."""
import os
from collections.abc import Callable

from mrdl.storage.paths import OPENERS

LARGEST_SPLIT = (1 << 63) - 1
SMALLEST_SPLIT = 16 << 20
NO_END = None
Split = list[tuple[str, int, int | None]]       # path, first byte, end: one mapper's input


def cut(groups: list[list[str]], pieces: int, least: int, most: int,
        size: Callable[[str], int]) -> list[Split]:
    """A mapper's paths each. Plain single files in ranges: about so many pieces of them all."""
    plain = {group[0]: size(group[0]) for group in groups if least < LARGEST_SPLIT
             and len(group) == 1 and os.path.splitext(group[0])[1] not in OPENERS}
    each = max(min(-(-sum(plain.values()) // pieces), most), least, SMALLEST_SPLIT)
    splits: list[Split] = []
    for group in groups:
        start, length = 0, plain.get(group[0], 0)
        while length - start > each * 1.1:      # Hadoop's slack: no tiny last split
            splits.append([(group[0], start, start + each)])
            start += each
        splits.append([(path, start, NO_END) for path in group])
    return splits
