"""Inputs in; out comes which form they are, and their schema."""
from dataclasses import replace

from mrdl.data.dataset import DESCRIPTION
from mrdl.data.readers import encoding as encodings
from mrdl.data.readers.delimited import HEAD
from mrdl.data.readers.jsonl import below_comments
from mrdl.data.readers.table import FORMS
from mrdl.data.schema import FIRST, Recognised, Schema, Wanted
from mrdl.data.sources import DataError, as_given, demand, pipes, read, whole
from mrdl.data.tables.form import DELIMITER
from mrdl.data.tables.table import Table
from mrdl.printing import few
from mrdl.storage.partitions import values
from mrdl.storage.paths import opened


def sniff(paths: list[str], label: str | None = None, weight: str | None = None, header: bool | None = None,
          delimiter: str | None = None, loose: bool = False, multiline: bool = False, decimal: str | None = None,
          skip: int | None = None, encoding: str | None = None, known: Table | None = None) -> Schema:
    """The one schema of all inputs. `label`, `weight`: of arrays; the others: of a text (Wanted). `known`: the table that the
    inputs are to fit, which may say how they are written."""
    demand(delimiter is None or DELIMITER.fullmatch(delimiter),
           f"delimiter {delimiter!r}: must be one character of ASCII, and no quote or line end")
    demand(decimal in (None, ".", ","), f"decimal {decimal!r}: must be . or ,")
    demand(skip is None or skip >= 0, f"skip {skip}: must be 0 or more")
    coding, notes = _encoding(paths[0], encoding, known)
    forms = {path: form for path in paths if (form := _form(path, coding))} or {paths[0]: FORMS[-1]}
    if len(set(forms.values())) > 1:
        made = next((path.removesuffix(f"/{DESCRIPTION}") for path in paths if path.endswith(f"/{DESCRIPTION}")), None)
        demand(made is None, f"{made}: is a dataset that prepare made; give the raw files that it was made of")
        shown = [f"{path} ({form.kind})" for path, form in list(forms.items())[:3]]
        raise DataError(f"inputs of several kinds: {', '.join(shown)}; prepare them one by one")
    form = next(iter(forms.values()))
    demand(encoding is None or form.by_lines, f"{paths[0]}: is {form.kind}, and text alone has an encoding: leave out encoding")
    partitions = _partitions(paths) if form.tabular else []
    wanted = Wanted(label, weight, header, delimiter, decimal, skip, loose, multiline, partitions, coding)
    schema = form.sniffed(paths, wanted) if known is None else form.fitting(paths, wanted, known)
    if clash := [name for name in partitions if name in schema.own]:
        raise DataError(f"{paths[0]}: {few(clash)} is the name of a column, and of a folder above the file ({clash[0]}=..): rename one of them")
    notes += [f"columns from the names of folders: {few(partitions)}"] * bool(partitions)
    return replace(schema, notes=[as_given(note) for note in (*schema.notes, *notes)], names=pipes(paths))


def _encoding(path: str, asked: str | None, known: Table | None) -> tuple[str, list[str]]:
    """That of text, "" for UTF-8, and what the user should know: the one that is asked for, or that of a schema, unless a file
    contradicts it."""
    said = asked or (known.form.get("encoding") if known else None)
    if not said or (found := encodings.known(said)) == encodings.UTF_8:
        return "", []
    if asked is None:
        with whole(path), opened(path) as file:
            if encodings.contradicts(read(file, path, HEAD), found):
                return "", [f"{path}: is not {found}, as the schema says, and is read as UTF-8; to read it so nevertheless: --encoding {found}"]
    return found, []


def _partitions(paths: list[str]) -> list[str]:
    """The columns that the folders of all files have, as Hive names them."""
    first = list(values(paths[0]))
    for path in paths:
        own = list(values(path))
        if sorted(own) != sorted(first):
            what = [f"the columns {few(names)}" if names else "no columns" for names in (own, first)]
            raise DataError(f"{path}: its folders name {what[0]}, those of {paths[0]} {what[1]}; all inputs must agree")
    return first


def _form(path: str, encoding: str) -> type[Recognised] | None:
    """None: it is blank but for comments, as far as that is looked at, so it may be of any."""
    def decoded() -> bytes:
        return encodings.utf8(first, encoding) if encoding else first

    with whole(path), opened(path) as file:
        first = read(file, path, FIRST)
        if not below_comments(decoded()):     # more of these than is looked at usually
            first += read(file, path, HEAD)
    text = decoded()
    return next(form for form in FORMS if form.recognises(path, text if form.by_lines else first)) if below_comments(text) else None
