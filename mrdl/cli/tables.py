"""Raw tables on the command line: what the user says of their columns, and `mrdl describe`."""
import argparse
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator
from shlex import join, quote
from typing import TYPE_CHECKING, Any

from mrdl import limits, printing
from mrdl.cli.show import say
from mrdl.data.dataset import DESCRIPTION, shown
from mrdl.data.facts import FEW_BAD, MOST_BAD, too_many
from mrdl.data.sources import DataError, demand
from mrdl.data.survey import Facts
from mrdl.data.tables.kinds import KINDS
from mrdl.data.tables.table import SCHEMA
from mrdl.data.tokenizer import UNITS
from mrdl.report import preview
from mrdl.runs.run import Run
from mrdl.storage.paths import place
from mrdl.storage.schemes import store_at

if TYPE_CHECKING:
    from mrdl.driver.preparation.describe import Described

DELIMITERS = {"tab": "\t", "blank": " ", r"\t": "\t"}
KIND = re.compile(rf"(.*)=({'|'.join(KINDS)})((?:,\w+=.*)?)", re.DOTALL)
RAW = ("schema", "shards", "hold_out", "stratify", "group", "max_bad", "dtype", "classes", "label", "weight", "ids", "drop", "columns", "kinds",
       "missing", "header", "delimiter", "decimal", "skip", "encoding", "multiline", "sparse", "quarantine",
       "format", "unit", "sequence_length", "vocabulary", "like")
SAMPLES = 3                     # bad records that are shown
MOST = f"{MOST_BAD:g}; of few records one, or up to {FEW_BAD} if these are at most a tenth"


def of_columns(p: argparse.ArgumentParser) -> None:
    """What the user may say of a table's columns."""
    p.add_argument("--label", metavar="COLUMN", help="the column to predict; without this option a table has no labels "
                   "(of .npz: the array of the labels; default: y or y_train)")
    p.add_argument("--weight", "--sample-weight", metavar="COLUMN",
                   help="the column with the weights of the examples (of .npz: the array)")
    p.add_argument("--id", dest="ids", action="append", default=[], metavar="COLUMN",
                   help="a column that names the row, so it is no feature; may be repeated")
    p.add_argument("--drop", action="append", default=[], metavar="COLUMN",
                   help="leave this column out; may be repeated")
    p.add_argument("--kind", dest="kinds", action="append", default=[], metavar="COLUMN=KIND",
                   help=f"what a column is: {', '.join(KINDS)}; fields of schema.json may follow, each after a comma: "
                   "age=numeric,scale=standard,missing=median; may be repeated")
    of_text(p, "as a schema says, or else by how the lines look", "")
    of_numbers(p, "decided for each column by how its values look")
    p.add_argument("--columns", nargs="+", action="extend", metavar="COLUMN",
                   help="the features (default: all columns that are not the label, the weight, an id or left out)")
    p.add_argument("--missing", nargs="+", action="extend", default=[], metavar="WORD",
                   help="words that mean that a value is missing, beside NA, N/A, NaN, null, ? and the like")


def of_text(p: argparse.ArgumentParser, default: str, where: str) -> None:
    """What the user may say of how delimited text is written. `where`: of which inputs; `default`: what decides it otherwise."""
    p.add_argument("--header", choices=("yes", "no"), help=f"{where}whether the first line names the columns (default: {default})")
    p.add_argument("--delimiter", metavar="D",
                   help=f"{where}what stands between fields: one character, tab, or blank (default: {default})")
    p.add_argument("--skip", type=int, metavar="N", help=f"{where}leave out the first N lines of each file: the header, or the first row, "
                   "stands below them (default: as a schema says, or else 0)")
    p.add_argument("--encoding", metavar="NAME", help=f"{where}the encoding of the text, JSON lines too: latin-1, cp1252, utf-16 and so on "
                   "(default: as a schema says, or else UTF-8)")
    p.add_argument("--multiline", action="store_true", help=f"{where}quoted fields may go on over several lines; one task then reads all "
                   "of a file")


def of_numbers(p: argparse.ArgumentParser, default: str, where: str = "") -> None:
    """What the user may say of how numbers are written, as of `of_text`."""
    p.add_argument("--decimal", choices=(".", ","), metavar="MARK",
                   help=f"{where}what stands before the fraction of numbers: . or , (default: {default})")


def of_rows(p: argparse.ArgumentParser) -> None:
    """What becomes of a table's rows."""
    p.add_argument("--schema", metavar="FILE", help="a schema.json, which says what is made of each column (default: what mrdl "
                   "describe shows, which takes another pass over the input)")
    p.add_argument("--sparse", choices=("yes", "no"), help="whether to store of each row only the features that are not 0 (default: for "
                   "tables of more than 1,024 features, most of which are 0)")
    p.add_argument("--shards", type=int, help="number of training shards (default: one per 64 MB, at least 2)")
    p.add_argument("--hold-out", type=float, help="share of the rows to hold out for validation (default: 0)")
    p.add_argument("--stratify", action="store_true", help="hold out the same share of each class")
    p.add_argument("--group", metavar="COLUMN", help="hold out all rows with one value of this column, or none of them: of one patient, "
                   "say; the column is an id, no feature")
    p.add_argument("--quarantine", metavar="FOLDER", help="keep all bad records there, whole, each with its file, place and "
                   "reason, as lines of JSON; also if there are too many of them")
    p.add_argument("--max-bad", type=float, help=f"share of bad records that is tolerated (default: {MOST})")
    p.add_argument("--dtype", help="how to store numbers with fractions: float32 or float64 (default: float32)")
    p.add_argument("--classes", type=int, help="number of classes; records with labels outside 0..CLASSES-1 are bad")
    p.add_argument("--format", choices=("text",),
                   help="text: sequences of characters or words (default: tables and arrays, a row for each example)")
    p.add_argument("--unit", choices=UNITS, help="of a text: what a token is, char or word (default: char)")
    p.add_argument("--sequence-length", type=int, metavar="N", help="of a text: tokens in a sequence (default: 100)")
    p.add_argument("--vocabulary", type=int, metavar="N",
                   help="of a text: the largest number of entries in the vocabulary (default: 65536)")
    p.add_argument("--like", metavar="DATA", help="select the columns of the dataset DATA, by name; of a text: use its "
                   "vocabulary, unit and sequence length")


def said(a: argparse.Namespace) -> dict[str, Any]:
    """What the user has said of columns, as functions take it."""
    return {**written(a), "kinds": kinds(a.kinds), **({"sparse": a.sparse == "yes"} if getattr(a, "sparse", None) else {})}


def written(a: argparse.Namespace) -> dict[str, Any]:
    """What the user has said of how text is written, where functions take it otherwise."""
    return {"header": a.header and a.header == "yes", "delimiter": DELIMITERS.get(a.delimiter, a.delimiter)}


def kinds(given: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Of each --kind COLUMN=KIND,FIELD=VALUE.. the column, and what schema.json would say of it.

    DataError names all wrong ones."""
    found: dict[str, dict[str, Any]] = {}
    wrong = []
    for text in given:
        match = KIND.fullmatch(text)
        if not match:
            wrong.append(f"--kind {quote(text)}: must be COLUMN=KIND, and KIND one of {', '.join(KINDS)}")
            continue
        column, kind, more = match.groups()
        if column in found:
            wrong.append(f"--kind {quote(text)}: column {column!r} has a kind already: {found[column]['kind']}")
        fields = (field.partition("=") for field in re.split(r",(?=\w+=)", more)[1:])
        found[column] = {"kind": kind, **{name: _value(value) for name, _, value in fields}}
    if wrong:
        raise DataError("\n".join(wrong))
    return found


def _value(text: str) -> Any:
    """JSON, or a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def is_dataset(a: argparse.Namespace) -> bool:
    """Whether a dataset is to be described; DataError where options for raw tables are given too."""
    store = store_at(a.inputs[0])
    found = len(a.inputs) == 1 and store.is_folder() and store.exists(DESCRIPTION)
    demand(found or len(a.inputs) > 1 or not Run(a.inputs[0]).exists(), f"{a.inputs[0]}: is a run; see it with: mrdl show {quote(a.inputs[0])}")
    odd = [name for name in ("label", "weight", "ids", "drop", "columns", "kinds", "missing", "header",
                             "delimiter", "decimal", "skip", "encoding", "multiline", "out") if getattr(a, name)]
    demand(not (found and odd), f"{a.inputs[0]} is a dataset, whose columns are decided: leave out {', '.join(odd)}")
    return found


def described(a: argparse.Namespace, found: "Described") -> dict[str, Any]:
    """Prints what was found in raw tables, and writes schema.json where it is wanted."""
    records = found.records
    if not a.json:
        width = printing.columns(sys.stdout)
        for line in [*head(a.inputs, found, width), "", *preview.lines(found.inferred, width)]:
            encoding = sys.stdout.encoding or "utf-8"
            print(line.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    if a.out:
        folder, name = place(a.out)
        folder.write(name, found.table.dump())
        say(f"{a.out}: the schema; change in it what should be otherwise; then: {following(a, found)}")
    elif not a.json:
        say(f"to keep this as a schema that you can change, and that prepare takes: --out {SCHEMA}" + (
            "; to say which column is to be predicted: --label COLUMN" if found.table.label is None else ""))
    return {"inputs": a.inputs, "rows": records.rows, "bad": records.bad, "samples": records.samples,
            "comments": records.comments, "files": len(found.sizes), "bytes": sum(found.sizes.values()), "notes": [*found.notes, *records.notes(), *found.inferred.notes], "out": a.out,
            "columns": [*preview.facts(found.inferred)]}


def head(inputs: list[str], found: "Described", width: int) -> Iterator[str]:
    """What the input is as a whole, and its bad records."""
    records, counted = found.records, printing.counted
    name = printing.clean(inputs[0]) + " .." * (len(inputs) > 1)
    several = f" in {len(found.sizes):,} files" if len(found.sizes) > 1 else ""
    comments = ", " + counted(records.comments, "comment") if records.comments else ""
    size = limits.shown(sum(found.sizes.values()))
    yield from printing.wrapped(
        f"{name}: {counted(records.rows, 'row')} of {counted(len(found.table.columns), 'column')}{several}, "
        f"{size}{comments}; {counted(found.table.width, 'feature')}", width, "  ")
    for note in (*found.notes, *records.notes()):
        yield from printing.wrapped(printing.clean(note), width, "  ")
    bad = sum(records.bad.values())
    if bad:
        of = bad + records.rows
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in records.bad.items())
        tolerance = " ".join(_tolerance(records))
        yield from printing.wrapped(
            f"{bad:,} of {of:,} records are bad and left out ({100 * bad / of:.2g} %): {reasons}"
            + "; quoted fields over several lines are read with: --multiline" * (10 * records.bad.get("quote without end", 0) > bad)
            + f"; to prepare nevertheless: {tolerance}" * bool(tolerance)
            + "; to keep them whole: mrdl prepare .. --quarantine FOLDER", width, "  ")
        for sample in records.samples[:SAMPLES]:
            text = printing.clean(shown(sample)).removeprefix(os.getcwd() + "/")
            yield from printing.wrapped("  " + text, width, "    ")


def following(a: argparse.Namespace, found: "Described") -> str:
    """The command to type next."""
    label = found.table.label
    options = [*["--multiline"] * a.multiline, *(["--label", label] if label is not None else []), *_tolerance(found.records)]
    return f"mrdl prepare {join([*a.inputs, 'DATA', '--schema', a.out, *options])}" + " --label COLUMN" * (label is None)


def _tolerance(records: Facts) -> list[str]:
    """The option by which prepare takes so many bad records."""
    bad = sum(records.bad.values())
    total = bad + records.rows
    return ["--max-bad", f"{math.ceil(bad / total * 1000) / 1000:g}"] if too_many(bad, total) else []
