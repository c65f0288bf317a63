"""The first layers of a network for a table that has columns of ids: an Input for each of them, and an Embedding behind it."""
from collections.abc import Mapping, Sequence
from itertools import groupby

from mrdl.data.tables.kinds import Kind, Text
from mrdl.layers import (
    Concatenate,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    Input,
    Normalization,
)
from mrdl.layers.layer import Symbol

WIDE = 256                      # features of sparse rows, above which they stay sparse
WIDEST = 50                     # numbers that stand for an id


def width(ids: int) -> int:
    """How many numbers stand for each of so many ids: by fast.ai's rule, half as many as there are ids, and not above 50."""
    return min(WIDEST, (ids + 1) // 2)


def embedded(columns: Mapping[str, Kind], moments: tuple[Sequence[float], Sequence[float]] | None, units: int) -> tuple[list[Input], Symbol]:
    """The inputs for the features of a table's columns, in their order, and all of them as one row of numbers.

    Columns that stand side by side and hold amounts share an Input, and are normalised by `moments`, the mean and the variance of
    each feature; without moments these are sparse rows, and more than WIDE of them have a sparse Input, and a Dense layer of so many
    `units`. A column of ids has its own. Of a text the mean of its tokens' embeddings is taken."""
    inputs, parts, at = [], [], 0
    features = [(name, kind) for name, kind in columns.items() if kind.width]
    for name, run in groupby(features, lambda column: column[0] if column[1].ids else None):
        kinds = [kind for _, kind in run]
        size = sum(kind.width for kind in kinds)
        if name is None:
            here = [some[at:at + size] for some in moments or ()]
            inputs.append(Input((size,), sparse=not here and size > WIDE))
            parts.append(Normalization(-1, *here)(inputs[-1]) if here else Dense(units, "relu")(inputs[-1]) if size > WIDE else inputs[-1])
        else:
            (kind,), valid = kinds, name and "/" not in name and name.isprintable()
            inputs.append(Input((size,), name=name if valid else None))
            ids = Embedding(kind.ids, width(kind.ids), mask_zero=isinstance(kind, Text))(inputs[-1])
            parts.append((GlobalAveragePooling1D() if isinstance(kind, Text) else Flatten())(ids))
        at += size
    return inputs, Concatenate()(parts) if len(parts) > 1 else parts[0]
