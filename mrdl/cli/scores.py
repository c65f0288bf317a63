"""mrdl score, and what the commands that take raw rows have in common."""
import argparse
import os
import sys
from typing import Any

from mrdl.cli.show import say
from mrdl.cli.tables import DELIMITERS, MOST, of_numbers, of_text
from mrdl.config import need
from mrdl.data.dataset import shown
from mrdl.data.misread import advice, told
from mrdl.data.readers.encoding import known as encoding_of
from mrdl.data.records import unseen_told
from mrdl.models.saving import load_model
from mrdl.printing import clean, counted, fitted, wide
from mrdl.printing import written as written_number
from mrdl.runs.extension import behind
from mrdl.runs.run import Run
from mrdl.worker.scored import FORMATS, TABLE

OF_TEXT = ("as the training data was written, or else by how the lines look", "for raw rows: ")


def inputs(p: argparse.ArgumentParser) -> None:
    p.add_argument("data", metavar="DATA", nargs="+", help="a dataset that prepare made; or raw rows: CSV, TSV, JSON lines, libsvm (also .gz, .bz2, .xz, "
                   ".zst, .zip), Parquet, ORC, Avro, folders or patterns of them, - for standard input")


def written(p: argparse.ArgumentParser, first: str, formats: tuple[str, ...]) -> None:
    p.add_argument("--id", action="append", default=[], dest="ids", metavar="COLUMN",
                   help=f"for raw rows: a column that identifies a row, to be written first; may be repeated (default: {first})")
    p.add_argument("--keep", action="append", default=[], metavar="COLUMN",
                   help="for raw rows: another column to write as it is; may be repeated")
    p.add_argument("--format", choices=formats, help="for raw rows: the format of the output (default: that of JSON lines is jsonl, of all others csv)")


def values(p: argparse.ArgumentParser) -> None:
    """How values are written."""
    of_numbers(p, "as in the training data", "for raw rows: ")
    p.add_argument("--missing", nargs="+", action="extend", default=[], metavar="WORD", help="for raw rows: words that mean that a value is "
                   "missing, beside those of the training data")


def of_evaluate(p: argparse.ArgumentParser) -> None:
    inputs(p)
    p.add_argument("--part", choices=("all", "train", "validation"), default="all",
                   help="which shards of the dataset (default: all)")
    p.add_argument("--label", metavar="COLUMN", help="for raw rows: the column with the labels (default: that of the training data)")
    p.add_argument("--max-bad", type=float, help=f"for raw rows: share of bad rows that is tolerated (default: {MOST})")
    p.add_argument("--plot", metavar="FILE", help="draw ROC, precision over recall, and how probabilities hold (of values: the errors) to "
                   "this PNG")
    p.add_argument("--worst", type=int, default=0, metavar="N", help="for raw rows: print the N rows with the largest losses: labels that "
                   "are wrong show up there")
    p.add_argument("--id", action="append", default=[], dest="ids", metavar="COLUMN", help="a column that names these rows; may be repeated "
                   "(default: the file, and the place in it)")
    of_text(p, *OF_TEXT)
    values(p)


def of_predict(p: argparse.ArgumentParser) -> None:
    inputs(p)
    p.add_argument("out", metavar="OUT", help="folder to write the predictions to")
    written(p, "the file, and the place of the row in it", (*FORMATS, TABLE))
    of_text(p, *OF_TEXT)
    values(p)
    p.add_argument("--loss", action="store_true", help="for raw rows with labels: write the label and the loss of each row too")
    p.add_argument("--probabilities", action="store_true",
                   help="of a model that classifies each step: write the probabilities of all classes (large files)")


def of_score(p: argparse.ArgumentParser) -> None:
    written(p, "all columns of the input", FORMATS)
    p.add_argument("--columns", metavar="A,B,C", help="names of the input's columns, if its first line does not have them")
    p.add_argument("--delimiter", metavar="CHARACTER", help="delimiter of the input and of the output: a character, or tab "
                   "(default: that of the training data, or else detected in the first line; with --columns: tab)")
    p.add_argument("--encoding", metavar="NAME", help="of the input: latin-1, cp1252, utf-16 and so on (default: that of the training data, or else "
                   "UTF-8); the output is UTF-8")
    p.add_argument("--skip", type=int, metavar="N", help="leave out the first N lines: the header, or the first row, stands below them "
                   "(default: as in the training data where these lines are there, or else 0)")
    values(p)


def tell_round(run: str) -> None:
    """Says which round's model a run has that has gone on since."""
    if text := behind(Run(run)):
        say(f"{run}: {text}")


def score(a: argparse.Namespace) -> dict[str, Any]:
    from mrdl.driver.raw import Counted
    from mrdl.worker.stream import Filter
    need(not a.json, "--json: the rows are on stdout; for rows as JSON: --format jsonl")
    need(sys.stdin is not None and sys.stdout is not None, "score reads rows from stdin and writes them to stdout, and one of them is closed")
    tell_round(a.run)
    delimiter = DELIMITERS.get(a.delimiter, a.delimiter)
    need(delimiter is None or len(delimiter) == 1 and delimiter.isascii() and delimiter not in '"\r\n',
         f"--delimiter {delimiter!r}: must be one character, or tab")
    encoding = a.encoding and encoding_of(a.encoding)
    need(a.skip is None or a.skip >= 0, f"--skip {a.skip}: must be 0 or more")
    rows = Filter(load_model(a.run, updater=False), a.run, sys.stdin.fileno(), a.columns.split(",") if a.columns else [], delimiter,
                  [*a.ids, *a.keep], a.format, a.skip, encoding, a.missing, a.decimal)
    for note in rows.rows.notes:
        say(note)
    for lines in rows:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
    for line in unread(Counted(rows.count, rows.records.bad, rows.records.misread, rows.records.left_out, rows.records.unseen, rows.records.samples)):
        say(line)
    return {}


def worst(rows: list[dict[str, Any]], width: int) -> list[str]:
    """For the user: the rows with the largest losses."""
    if not rows:
        return []
    here = os.getcwd() + "/"
    texts = [[" ".join(map(clean, row["ids"].values())) or f"{clean(row['file'].removeprefix(here))} {row['place']:,}", clean(row["label"]),
              clean(row["prediction"]), written_number(row["loss"])] for row in rows]
    texts.insert(0, [" ".join(rows[0]["ids"]) or "file, place", "label", "prediction", "loss"])
    most = max(8, (width - 20) // 3)
    first, *rooms = [max(map(wide, column)) for column in zip(*texts)]
    rooms = [min(most, room) for room in rooms]
    rooms.insert(0, min(first, max(most, width - sum(rooms) - 2 * len(rooms))))
    if not rows[0]["ids"]:                      # of a long path the end says more
        texts[1:] = [[where if wide(where) <= rooms[0] else ".." + where[2 - rooms[0]:], *others] for where, *others in texts[1:]]
    return ["largest losses:", *("  ".join(fitted(text, room, right=i == 3) for i, (text, room) in enumerate(zip(line, rooms))).rstrip()
                                 for line in texts)]


def unread(found) -> list[str]:
    """For the user: which raw rows could not be used, and which have values that a model does not know."""
    lines = []
    if count := found.bad.total():
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(found.bad.items()))
        lines = [f"warning: {count:,} of {counted(found.rows, 'row')} could not be read: {reasons}",
                 *(f"  {text}" for text in (*told(found.misread), *filter(None, [advice(found.misread)]), *map(shown, found.samples)))]
    if found.left_out:
        lines.append(f"{counted(found.left_out, 'row')} could not be used for a missing value, as the schema says")
    return lines + [f"warning: {told}" for told in unseen_told(found.unseen)]
