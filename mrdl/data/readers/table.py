"""Readers by the kind of a schema: a new form of input is a module with a `read(rows, lines)`, and a line here."""
from mrdl.data.readers import arrays, delimited, text

READERS = {"text": delimited.read, "corpus": text.read, "npz": arrays.read, "idx": arrays.read}
