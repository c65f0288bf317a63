"""Readers by the kind of a schema: a new form of input is a module with a `read(rows, lines)`, and a line here."""
from mrdl import array_ranges, delimited, text_ranges

READERS = {"text": delimited.read, "corpus": text_ranges.read, "npz": array_ranges.read, "idx": array_ranges.read}
