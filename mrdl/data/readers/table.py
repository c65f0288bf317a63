"""The forms of input: a new one is a Schema in a file of its own, and its place here."""
import json

from mrdl.data.preparation import Plan
from mrdl.data.readers.arrays import Idx, Npz
from mrdl.data.readers.avro import Avro
from mrdl.data.readers.columnar import Orc, Parquet
from mrdl.data.readers.delimited import Delimited
from mrdl.data.readers.jsonl import Jsonl
from mrdl.data.readers.libsvm import Libsvm
from mrdl.data.readers.text import Corpus
from mrdl.data.schema import Schema

FORMS = (Npz, Idx, Parquet, Orc, Avro, Jsonl, Libsvm, Delimited)      # a file is of the first one that recognises it
READERS = {form.kind: form for form in (*FORMS, Corpus)}


def loaded(path: str) -> Plan:
    """What Plan.dump wrote."""
    with open(path, encoding="ascii") as file:
        fields = json.load(file)
    return Plan(read_back(fields.pop("schema")), **fields)


def read_back(schema: dict) -> Schema:
    """What Schema.dump gave."""
    return READERS[schema["kind"]](**{name: value for name, value in schema.items() if name != "kind"})
