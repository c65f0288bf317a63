"""The forms of input: a new one is a Schema in a file of its own, and its place here."""
import json

from mrdl.data.preparation import Plan
from mrdl.data.readers.arrays import Idx, Npz
from mrdl.data.readers.delimited import Delimited
from mrdl.data.readers.text import Corpus

FORMS = (Npz, Idx, Delimited)   # a file is of the first one that recognises it
READERS = {form.kind: form for form in (*FORMS, Corpus)}


def loaded(path: str) -> Plan:
    """What Plan.dump wrote."""
    with open(path, encoding="ascii") as file:
        fields = json.load(file)
    schema = fields.pop("schema")
    return Plan(READERS[schema.pop("kind")](**schema), **fields)
