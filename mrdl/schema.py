"""Inputs in; out comes what their rows look like, the same for every input, or a DataError."""
import re
from collections.abc import Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from shlex import quote

from mrdl.columns import Wanted, few, indices, one, ordered
from mrdl.corpus import BOM, PACKED, Stream, check_encoding
from mrdl.header import ROWS, Top, fields, is_comment, is_number, top
from mrdl.paths import OPENERS, exists, opened
from mrdl.sources import ArrayFile, DataError, members, read, readable

HEAD = 1 << 16                  # bytes of each text input that are looked at
DELIMITERS = ",\t;|"


@dataclass(frozen=True)
class Schema:
    """What a task must know to read the inputs."""
    kind: str                   # text | npz | idx | corpus
    files: list                 # idx: [images, labels or None]; else paths
    columns: list               # of a text; arrays of an .npz
    shape: list                 # of x, for one row
    target: list | None         # of y, for one row; None: there is no y
    x: str = ""                 # the array (npz)
    label: str | None = None    # the column or array
    weight: str | None = None
    delimiter: str = ","
    header: list = field(default_factory=list)  # of a text: how it stands in the files
    order: list = field(default_factory=list)   # of a text: the places of x's columns
    named: bool = False         # whether the columns have names of their own
    notes: list = field(default_factory=list)   # what was decided about the input, for the user
    counts: list | None = None  # rows of each file (npz, idx); bytes of text (corpus)
    heads: list | None = None   # bytes before the text of each file (corpus)
    unit: str = ""              # of a corpus: char | word
    vocabulary: list = field(default_factory=list)      # of a corpus

    def stream(self) -> Stream:
        """The files of a corpus."""
        return Stream(self.files, self.counts, self.heads)

    @contextmanager
    def arrays(self, index: int):
        """x, and where there are y and w: the arrays of file `index`, open (npz, idx)."""
        file = self.files[index]
        if self.kind == "idx":
            named = {name: (path, None) for name, path in zip("xy", file) if path}
        else:
            named = {"x": (file, self.x), "y": (file, self.label), "w": (file, self.weight)}
        with ExitStack() as stack:
            yield {name: stack.enter_context(closing(ArrayFile(path, member)))
                   for name, (path, member) in named.items()
                   if self.kind == "idx" or member is not None}


def sniff(paths: list[str], label: str | None = None, weight: str | None = None, header: bool | None = None,
          drop: Sequence[str] = (), like: Sequence[str] | None = None) -> Schema:
    """The one schema of all inputs. `header`, `drop`, `like`: of a text (Wanted)."""
    kinds = {path: _kind(path) for path in paths}
    if len(set(kinds.values())) > 1:
        few = [f"{path} ({kind})" for path, kind in list(kinds.items())[:3]]
        raise DataError(f"inputs of several kinds: {', '.join(few)}; prepare them one by one")
    kind = kinds[paths[0]]
    if kind == "text":
        return _text(paths, Wanted(label, weight, header, drop, like))
    if header is not None or drop or like is not None:
        raise DataError(f"{paths[0]}: has no columns: leave out header, drop and like")
    return {"npz": _npz, "idx": _idx}[kind](paths, label, weight)


def _kind(path: str) -> str:
    if path.endswith(".npz"):
        return "npz"
    with opened(path) as file:
        head = read(file, path, 4)
    return "idx" if len(head) == 4 and head[:2] == b"\0\0" else "text"


# text

def _text(paths: list[str], wanted: Wanted) -> Schema:
    schema, rows = None, 0
    for path in paths:                          # one by one: there may be thousands
        lines = _head(path)
        if all(map(is_comment, lines)):
            continue
        if schema is None:
            delimiter = _delimiter(path, [line for line in lines if not is_comment(line)])
            found = first = top(path, lines, delimiter, wanted.header)
            schema = _columns(path, found, wanted, paths, delimiter)
            kept = {*schema.order, *(schema.columns.index(n) for n in (schema.label, schema.weight) if n is not None)}
            notes = schema.notes + ([found.note] if found.note else [])
            headers, name = {found.line}, path
        else:
            found = top(path, lines, delimiter, wanted.header, first.line)
            if found.line and found.names != first.names and sorted(found.names) == sorted(first.names):
                raise DataError(f"{path}: has the columns of {name} in another order; inputs that are prepared together must "
                                f"have one order: write it again with {few(first.names)}")
            if found.names != first.names:
                what = [f"columns {few(own.names)}" if own.line else f"{len(own.names)} columns and no header"
                        for own in (found, first)]
                raise DataError(f"{path}: {what[0]}, but {name} has {what[1]}; all inputs must agree")
            headers.add(found.line)
        _numeric(path, found, kept)
        rows += len(found.rows)
    if schema is None:
        raise DataError(f"{paths[0]}: no rows" + (f", nor in {len(paths) - 1} more inputs"
                                                  if len(paths) > 1 else ""))
    if not rows:
        raise DataError(f"{name}: a header and no rows")
    return replace(schema, header=sorted(headers - {""}), notes=notes)


def _columns(path: str, found: Top, wanted: Wanted, paths: list[str], delimiter: str) -> Schema:
    """The schema of inputs whose first one has this top."""
    names, named = found.names, bool(found.line)
    label, weight = one(wanted.label, names, "label"), one(wanted.weight, names, "weight")
    if label is not None and label == weight:
        raise DataError(f"column {label!r} is named both for the label and for the weight: they must be two columns")
    taken = {name: what for name, what in ((label, "the label"), (weight, "the weight")) if name is not None}
    order, notes = ordered(path, names, named, taken, wanted)
    if not order:
        raise DataError(f"{path}: no column is left for x beside {few(sorted(taken))}")
    if wanted.like is None:
        notes = indices(found, order)
    return Schema("text", paths, names, [len(order)], None if label is None else [], label=label, weight=weight,
                  delimiter=delimiter, order=order, named=named, notes=notes)


def _head(path: str) -> list[str]:
    """The first lines that are not blank; latin-1, so that any bytes will do."""
    lines: list[bytes] = []
    size = 0
    with opened(path) as file, readable(path):
        while (size < HEAD or len(lines) < ROWS) and (line := file.readline()):
            if not size:
                check_encoding(path, line)
            size, line = size + len(line), line if size else line.removeprefix(BOM)
            lines += [line] if line.strip() else []
    if not lines:
        return []
    if not path.endswith(tuple(OPENERS)) and lines[0].startswith(tuple(PACKED)):
        raise DataError(f"{path}: is compressed: unpack it first, or, of gzip, let its name end in .gz")
    odd = [b"\0" in line for line in lines]
    if odd[0] or 2 * sum(odd) > len(odd):
        raise DataError(f"{path}: neither text nor .npz nor IDX: zero bytes in its first lines (if it is text but for "
                        f"them: tr -d '\\000' < {quote(path)} > clean.csv; if it is UTF-16: iconv -f UTF-16 -t UTF-8)")
    if b"\r" in lines[0] and not lines[0].endswith(b"\n"):
        raise DataError(f"{path}: lines end in a lone carriage return; convert it with: mac2unix")
    return [line.decode("latin-1").rstrip("\r\n") for line in lines]


def _delimiter(path: str, lines: list[str]) -> str:
    """The one that cuts most lines into as many fields as the first one."""
    def fit(delimiter: str) -> tuple[int, int]:
        counts = [len(fields(line, delimiter)) for line in lines[:50]]
        return (counts.count(counts[0]) if counts[0] > 1 else 0, counts[0])
    best = max(DELIMITERS, key=fit)
    blanks = [len(words) > 1 and all(map(is_number, words)) for words in map(str.split, lines[:50])]
    if fit(best) == (0, 1) and 2 * sum(blanks) >= len(blanks):
        raise DataError(f"{path}: blanks are no delimiter yet: put commas between the fields, as with: "
                        "sed -E 's/^ +| +$//g; s/ +/,/g'")
    return best


def _numeric(path: str, found: Top, kept: set[int]) -> None:
    """A column of words, or of nothing, is refused here, by name; a stray word is a bad record, later."""
    rows = [row for row in found.rows if len(row) == len(found.names)]
    for i, values in enumerate(zip(*rows)):
        if i not in kept:
            continue
        name, words = found.names[i], [value for value in values if value and not is_number(value)]
        last = i == len(found.names) - 1
        if not any(values) and (len(values) >= ROWS or (last and not name)):
            raise DataError(f"{path}: " + (f"each row ends in a delimiter, so its last column, {name!r}," if last else
                                           f"column {name!r}") + f" is empty; leave it out with: --drop {quote(name)}")
        if 2 * len(words) > len(values):
            commas = "decimal commas are not read yet: write 0,5 as 0.5"
            raise DataError(f"{path}: column {name!r} is not numeric (it has {words[0][:40]!r}); " + (
                commas if re.search(r"\d[,;]-?\d", words[0]) else
                f"mrdl reads numbers: replace it by numbers, or leave it out with: --drop {quote(name)} (of a text, give its "
                "format: text)"))


# arrays

def _npz(paths: list[str], label: str | None, weight: str | None) -> Schema:
    schemas = []
    for path in paths:
        names = members(path)
        y = label or next((name for name in ("y", "y_train") if name in names), None)
        x = "x" + y[1:] if y and y[0] == "y" else "x"
        others = [name for name in names if name not in (y, weight)]
        if x not in names and len(others) == 1:
            x = others[0]
        if y is not None and y == weight:
            raise DataError(f"{path}: array {y!r} is named both for the label and for the weight: they must be two arrays")
        for name, what in ((x, "x"), (y, "label"), (weight, "weight")):
            if name is not None and name not in names:
                raise DataError(f"{path}: {what}: no array {name!r}; there are {few(names)} "
                                "(wanted: x and y, or the name of the labels' array)")
        schemas.append(Schema("npz", [path], names, [], None, x=x, label=y, weight=weight))
    return _agreed(schemas)


def _idx(paths: list[str], label: str | None, weight: str | None) -> Schema:
    if weight is not None or label is not None:
        raise DataError("IDX files have no columns: leave out the label and the weight")
    flat = {}
    for path in paths:
        with closing(ArrayFile(path)) as array:
            flat[path] = len(array.shape) == 1
    images, labels = [p for p in paths if not flat[p]], [p for p in paths if flat[p]]
    if len(images) == len(labels) == 1:
        pairs = [[images[0], labels[0]]]
    else:
        pairs = [[path, _twin(path)] for path in images]
    lone = set(labels) - {y for _, y in pairs}
    if lone:
        raise DataError(f"{min(lone)}: labels without their images")
    return _agreed([Schema("idx", [pair], [], [], None, label="labels" if pair[1] else None)
                    for pair in pairs])


def _twin(images: str) -> str | None:
    """The labels that stand beside the images, by MNIST's way to name them."""
    folder, slash, name = images.rpartition("/")
    twin = re.sub(r"idx\d", "idx1", name.replace("images", "labels"))
    stem = twin.removesuffix(".gz")
    found = [n for n in (twin, stem, stem + ".gz") if n != name and exists(folder + slash + n)]
    return folder + slash + found[0] if found else None


def _agreed(schemas: list[Schema]) -> Schema:
    """One schema of all files, with the shapes and counts that their arrays have."""
    shaped = []
    for schema in schemas:
        with schema.arrays(0) as arrays:
            for array in arrays.values():
                array.verify()
            shapes = {name: list(array.shape) for name, array in arrays.items()}
        path = schema.files[0] if schema.kind == "npz" else schema.files[0][0]
        lengths = {shape[0] for shape in shapes.values()}
        if len(lengths) > 1 or len(shapes.get("w", [0])) > 1:
            raise DataError(f"{path}: its arrays do not fit each other, their shapes are {shapes}")
        for name, shape in shapes.items():
            if 0 in shape[1:]:
                raise DataError(f"{path}: {name} has the shape {shape}")
        target = shapes["y"][1:] if "y" in shapes else None
        target = [] if target == [1] else target
        shaped.append(replace(schema, shape=shapes["x"][1:] or [1], target=target,
                              counts=list(lengths)))
        first = shaped[0]
        for name in ("shape", "target", "label", "x", "weight"):
            if getattr(shaped[-1], name) != getattr(first, name):
                raise DataError(f"{path}: {name} {getattr(shaped[-1], name)}, but before "
                                f"{getattr(first, name)}; all inputs must agree")
    if not any(schema.counts[0] for schema in shaped):
        raise DataError(f"{path}: no rows")
    return replace(first, files=[schema.files[0] for schema in shaped],
                   counts=[schema.counts[0] for schema in shaped])
