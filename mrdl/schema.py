"""Inputs in; out comes what their rows look like, the same for every input, or a DataError."""
import re
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace

from mrdl.corpus import BOM, Stream
from mrdl.sources import ArrayFile, DataError, exists, members, opened, read

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
    header: str = ""            # as it stands in the files
    newline: int = 1            # bytes that end a line
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


def sniff(paths: list[str], label: str | None = None, weight: str | None = None) -> Schema:
    """The one schema of all inputs."""
    kinds = {path: _kind(path) for path in paths}
    if len(set(kinds.values())) > 1:
        few = [f"{path} ({kind})" for path, kind in list(kinds.items())[:3]]
        raise DataError(f"inputs of several kinds: {', '.join(few)}; prepare them one by one")
    return {"text": _text, "npz": _npz, "idx": _idx}[kinds[paths[0]]](paths, label, weight)


def _kind(path: str) -> str:
    if path.endswith(".npz"):
        return "npz"
    with opened(path) as file:
        head = read(file, path, 4)
    return "idx" if len(head) == 4 and head[:2] == b"\0\0" else "text"


# text

def _text(paths: list[str], label: str | None, weight: str | None) -> Schema:
    heads = {path: _head(path) for path in paths}
    filled = {path: lines for path, lines in heads.items() if lines}
    if not filled:
        raise DataError(f"{paths[0]}: no rows" + (f", nor in {len(paths) - 1} more inputs"
                                                  if len(paths) > 1 else ""))
    first = next(iter(filled))
    delimiter = _delimiter(filled[first])
    columns, header = _columns(first, filled[first], delimiter)
    for path, lines in filled.items():
        others, its_header = _columns(path, lines, delimiter)
        if others != columns:
            raise DataError(f"{path}: columns {_few(others)}, but {first} has {_few(columns)}; "
                            "all inputs must agree")
        _numeric(path, lines[bool(its_header):], columns, delimiter)
    if header and all(len(lines) == 1 for lines in filled.values()):
        raise DataError(f"{first}: a header and no rows")
    names = list(columns)
    label, weight = _column(label, names, "label"), _column(weight, names, "weight")
    taken = {name for name in (label, weight) if name is not None}
    if len(taken) == len(names):
        raise DataError(f"{first}: no column is left for x beside {_few(sorted(taken))}")
    crlf = filled[first][0].endswith("\r")
    return Schema("text", paths, names, [len(names) - len(taken)], None if label is None else [],
                  label=label, weight=weight, delimiter=delimiter, header=header.rstrip("\r"),
                  newline=1 + crlf)


def _head(path: str) -> list[str]:
    """The first lines that are not blank; latin-1, so that any bytes will do."""
    with opened(path) as file:
        head = read(file, path, HEAD)
        head += file.readline() if len(head) == HEAD else b""
    if b"\0" in head:
        raise DataError(f"{path}: neither text nor .npz nor IDX")
    if b"\r" in head and b"\n" not in head:
        raise DataError(f"{path}: lines end in a lone carriage return; convert it with: mac2unix")
    text = head.removeprefix(BOM).decode("latin-1")
    return [line for line in text.split("\n") if line.strip(" \r")]


def _delimiter(lines: list[str]) -> str:
    """The one that cuts most lines into as many fields as the first one."""
    def fit(delimiter: str) -> tuple[int, int]:
        counts = [len(_fields(line, delimiter)) for line in lines[:50]]
        return (counts.count(counts[0]) if counts[0] > 1 else 0, counts[0])
    return max(DELIMITERS, key=fit)


def _fields(line: str, delimiter: str) -> list[str]:
    """Cut at delimiters that are not in double quotes."""
    pieces = line.split('"')
    pieces[::2] = [piece.replace(delimiter, "\n") for piece in pieces[::2]]
    return [field.strip(" \r") for field in "".join(pieces).split("\n")]


def _columns(path: str, lines: list[str], delimiter: str) -> tuple[list[str], str]:
    """Names of the columns ("0", "1".. without a header) and the header line."""
    first = _fields(lines[0], delimiter)
    if all(_is_number(field) or not field for field in first):
        counts = Counter(len(_fields(line, delimiter)) for line in lines)
        return [str(i) for i in range(counts.most_common(1)[0][0])], ""
    counts = Counter(len(_fields(line, delimiter)) for line in lines[1:])
    if counts and counts.most_common(1)[0][0] != len(first):
        raise DataError(f"{path}: the header has {len(first)} columns, the rows "
                        f"{counts.most_common(1)[0][0]} (of a text, give its format: text)")
    return [field.encode("latin-1").decode("utf-8", "replace") for field in first], lines[0]


def _numeric(path: str, lines: list[str], columns: list[str], delimiter: str) -> None:
    """A column of words is refused here, by name; a stray word is a bad record, later."""
    rows = [fields for line in lines if len(fields := _fields(line, delimiter)) == len(columns)]
    for name, values in zip(columns, zip(*rows)):
        words = [value for value in values if value and not _is_number(value)]
        if 2 * len(words) > len(values):
            raise DataError(f"{path}: column {name!r} is not numeric (it has {words[0][:40]!r}); "
                            "mrdl reads numbers: replace it by numbers, or leave it out (of a text, give its format: "
                            "text)")


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field


def _column(wanted: str | None, columns: list[str], what: str) -> str | None:
    """A column by its name, or by its number (-1 is the last)."""
    if wanted is None:
        return None
    name = str(wanted)
    numbered = name not in columns and re.fullmatch(r"-?\d+", name)
    if numbered and -len(columns) <= int(name) < len(columns):
        name = columns[int(name)]
    if columns.count(name) != 1:
        raise DataError(f"{what}: {'several columns' if name in columns else 'no column'} "
                        f"{name!r}; there are {_few(columns)}")
    return name


def _few(names: list[str]) -> str:
    names = list(names)
    return ", ".join(names if len(names) < 13 else [*names[:9], "...", *names[-3:]])


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
        for name, what in ((x, "x"), (y, "label"), (weight, "weight")):
            if name is not None and name not in names:
                raise DataError(f"{path}: {what}: no array {name!r}; there are {_few(names)} "
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
            shapes = {name: list(array.shape) for name, array in arrays.items()}
        path = schema.files[0] if schema.kind == "npz" else schema.files[0][0]
        lengths = {shape[0] for shape in shapes.values()}
        if len(lengths) > 1 or len(shapes.get("w", [0])) > 1:
            raise DataError(f"{path}: its arrays do not fit each other, their shapes are {shapes}")
        if 0 in shapes["x"][1:]:
            raise DataError(f"{path}: x has the shape {shapes['x']}")
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
