"""A mapper's side of a job on a table's columns: statistics of each column, and what is said of the records.

Parts are merged into the same bytes, however the inputs were split and in whatever order the parts come."""
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

from mrdl.data.corpus import SAMPLES
from mrdl.data.facts import sample_order
from mrdl.data.readers.table import read_back
from mrdl.data.records import Records, first_of
from mrdl.data.schema import Schema
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import Notation
from mrdl.printing import counted

SHOWN = 5                       # fields that are no columns, of which is told
RECORDS = b"records"            # the key of what is said of them; a column's key is its number


@dataclass(frozen=True)
class Survey:
    """What every task is told."""
    schema: Schema              # a tabular one
    label: str | None           # the column whose labels others may tell
    missing: list[str]          # words for missing values
    notations: list[Notation]   # of each column

    def dump(self, path: str) -> None:
        with open(path, "w", encoding="ascii") as file:
            json.dump({**vars(self), "schema": self.schema.dump()}, file)


def loaded(path: str) -> Survey:
    """What Survey.dump wrote."""
    with open(path, encoding="ascii") as file:
        fields = json.load(file)
    fields["notations"] = [Notation(*notation) for notation in fields["notations"]]
    return Survey(read_back(fields.pop("schema")), **fields)


@dataclass
class Facts:
    """What is said of records."""
    rows: int = 0               # good ones
    bad: dict[str, int] = field(default_factory=dict)           # by the reason
    comments: int = 0
    samples: list[dict] = field(default_factory=list)           # of bad ones, the first
    others: dict[str, int] = field(default_factory=dict)        # fields that are no columns, and how many rows have each: the first by name

    def notes(self) -> list[str]:
        """What the user should know of fields that are no columns."""
        often = sorted(self.others.items(), key=lambda field: (-field[1], field[0]))
        shown = ", ".join(f"{name!r} (in {counted(count, 'row')})" for name, count in often[:SHOWN])
        more = f" and {len(often) - SHOWN:,} more" * (len(often) > SHOWN)
        text = f"left out, as the first lines do not have them: {shown}{more}; to have them as columns, let the first line have them: null will do"
        return [text] if often else []

    def merge(self, other: "Facts") -> None:
        self.rows, self.comments = self.rows + other.rows, self.comments + other.comments
        self.bad = dict(sorted((Counter(self.bad) + Counter(other.bad)).items()))
        self.samples = sorted([*self.samples, *other.samples], key=sample_order)[:SAMPLES]
        self.others = first_of(Counter(self.others) + Counter(other.others))


class Columns:
    """Statistics of each column, and what is said of the records."""

    def __init__(self, survey: Survey):
        self.survey, self.facts = survey, Facts()
        written = dict(zip(survey.schema.columns, survey.notations, strict=True))       # of columns of one name one
        self.statistics = {name: Statistics(notation, survey.missing) for name, notation in written.items()}

    def read(self, file: str, start: int, lines: Iterable[bytes]) -> None:
        """The lines of `file` from byte `start` on, without their newlines."""
        records, rows = Records(file, start, self.survey.schema.name_of), 0
        records.others = {}
        for columns, labels, more in self.survey.schema.apart(records, lines, self.survey.label):
            rows += more
            for name, words in columns.items():
                self.statistics[name].add(words, None if labels is None else labels.hashes)
        self.facts.merge(Facts(rows, records.bad, records.comments, records.samples, records.others))

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each column and of the facts."""
        for number, name in enumerate([*self.statistics]):
            yield b"%08d" % number, self.statistics.pop(name).dump()        # what a dump keeps of each would be as much again
        yield RECORDS, json.dumps(asdict(self.facts)).encode()


def merged(key: bytes, values: Iterable[bytes]) -> bytes:
    """The values of a key as one."""
    load = (lambda value: Facts(**json.loads(value))) if key == RECORDS else Statistics.load
    values = map(load, values)
    whole = next(values)
    for part in values:
        whole.merge(part)
    return json.dumps(asdict(whole)).encode() if key == RECORDS else whole.dump()
