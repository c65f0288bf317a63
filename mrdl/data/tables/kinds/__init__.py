"""Kinds of columns, a file each: a new one is a class on `Kind`, and its place in KINDS."""
from mrdl.data.tables.kinds.base import DROPPED, REASONS, UNSEEN, Kind
from mrdl.data.tables.kinds.boolean import Boolean
from mrdl.data.tables.kinds.categorical import Categorical
from mrdl.data.tables.kinds.date import Date
from mrdl.data.tables.kinds.entries import Entries
from mrdl.data.tables.kinds.label import Label
from mrdl.data.tables.kinds.numeric import Numeric
from mrdl.data.tables.kinds.others import Id, Ignore, Weight
from mrdl.data.tables.kinds.text import Text

KINDS: dict[str, type[Kind]] = {kind.kind: kind for kind in (
    Numeric, Categorical, Boolean, Date, Text, Entries, Label, Weight, Id, Ignore)}

__all__ = ["DROPPED", "KINDS", "REASONS", "UNSEEN", "Boolean", "Categorical", "Date", "Entries", "Id", "Ignore", "Kind", "Label", "Numeric",
           "Text", "Weight"]
