"""What the rows of inputs look like, the same for every input."""
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from mrdl.data.corpus import Stream
from mrdl.data.sources import ArrayFile


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
