"""Statistics of the columns of tables."""
from mrdl.data.records import Records
from mrdl.data.tables.inference import notation
from mrdl.data.tables.statistics import Statistics
from mrdl.runners.cluster import Cluster
from mrdl.storage.paths import opened


def statistics_of(schema, cluster: Cluster, label, name: str, on_task=None):
    found = {column: None for column in schema.columns}
    records, rows = Records(), 0
    for path in schema.files:
        records.file = path
        with opened(path) as file:
            for columns, starts, _ in schema.words(records, (line.removesuffix(b"\n") for line in file)):
                rows += len(starts)
                for column, words in columns.items():
                    if found[column] is None:
                        found[column] = Statistics(notation([str(w, "utf-8", "replace") for w in words.take(slice(1000))]))
                    found[column].add(words, columns[label].hashes if label else None)
    return found, {"rows": rows}
