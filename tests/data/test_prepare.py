"""The prepare job: one dataset whatever the runner, the mappers and the order of the inputs."""
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import orc
from pyarrow import parquet as pq
from raw_data import idx, mapped, plan_of, shard_bytes, table, text

from mrdl.data import blocks, dataset
from mrdl.data.readers import arrays, avro, columnar
from mrdl.data.readers.table import FORMS, READERS
from mrdl.data.readers.text import Corpus
from mrdl.data.schema import Schema
from mrdl.data.sniff import sniff
from mrdl.driver.preparation.prepare import prepare
from mrdl.runners import splits
from mrdl.runners.cluster import Cluster


@pytest.fixture(scope="module")
def local():
    with Cluster("local", cores=3) as cluster:
        yield cluster


def rows_by_role(data: dataset.Dataset) -> dict[str, list]:
    """(x, y) of each row, as the blocks have them; checks that blocks and shards agree."""
    found = defaultdict(list)
    for shard in data.shards:
        n = 0
        for index, line in enumerate(Path(shard.path).read_bytes().splitlines()):
            block = blocks.unpack(line)
            assert (block.dataset, block.shard, block.index, block.role) == (
                data.uid, shard.index, index, shard.role)
            arrays = block.arrays()
            assert arrays["x"].shape[1:] == data.shape
            y = arrays["y"].tolist() if "y" in arrays else [None] * block.n
            found[block.role] += [(tuple(np.ravel(x).tolist()), t) for x, t in zip(arrays["x"], y)]
            n += block.n
        assert n == shard.n
    return found


def test_shards_are_the_same_bytes_whatever_runner_mappers_and_order(tmp_path, inline, local,
                                                                     monkeypatch):
    monkeypatch.setattr("mrdl.runners.splits.SMALLEST_SPLIT", 1000)       # several mappers a file
    lines = table()
    raw = tmp_path / "raw"
    raw.mkdir()
    files = [text(raw, b"\n".join(lines[i::3]) + b"\n", f"{i}.csv") for i in range(3)]
    options = {"label": "0", "shards": 4, "hold_out": 0.2, "seed": 3}
    made = [prepare(inputs, str(tmp_path / f"data{i}"), cluster, **options)
            for i, (inputs, cluster) in enumerate([
                (files, inline), (files, local), (files[::-1], local), ([raw], inline)])]
    expected = shard_bytes(made[0])
    assert len(expected) == 5
    for data in made:
        assert shard_bytes(data) == expected
        assert (data.uid, data.target, data.seed) == (made[0].uid, made[0].target, 3)
    assert sum(len(rows) for rows in rows_by_role(made[0]).values()) == len(lines)


def test_one_file_or_three_gzipped_or_not_hold_the_same_rows_and_hold_out_the_same(tmp_path, inline):
    lines = table(100)
    one = [text(tmp_path, b"\n".join(lines), "all.csv")]
    three = [text(tmp_path, b"\r\n".join(lines[i::3]), f"{i}.csv.gz") for i in range(3)]
    found = [rows_by_role(prepare(inputs, str(tmp_path / name), inline, label="5",
                                          shards=3, hold_out=0.3))
             for inputs, name in ((one, "one"), (three, "three"))]
    assert {role: sorted(rows) for role, rows in found[0].items()} == {role: sorted(rows) for role, rows in found[1].items()}


def test_another_seed_gives_another_order_of_the_same_rows(tmp_path, inline):
    path = text(tmp_path, b"\n".join(table(100)))
    found = [rows_by_role(prepare(path, str(tmp_path / f"d{seed}"), inline, label="0",
                                          seed=seed))["train"] for seed in (0, 1)]
    assert found[0] != found[1]
    assert sorted(found[0]) == sorted(found[1])


def test_equal_rows_spread_over_the_shards_and_never_leak_from_training_to_validation(tmp_path, inline):
    different = table(120)
    again = [line.replace(b",", b".0 , ") for line in different]
    path = text(tmp_path, b"\n".join(different * 3 + again + different[:1] * 800))
    data = prepare(path, str(tmp_path / "d"), inline, label="0", shards=4, hold_out=0.3, seed=1)
    where = defaultdict(set)
    for shard in data.shards:
        for line in Path(shard.path).read_bytes().splitlines():
            arrays = blocks.unpack(line).arrays()
            for x, y in zip(arrays["x"], arrays["y"]):
                where[tuple(x.tolist()), int(y)].add(shard.role)
    assert len(where) == 120 and {len(roles) for roles in where.values()} == {1}
    assert sum(shard.n for shard in data.shards) == 1280
    assert max(shard.n for shard in data.train()) < 1.3 * min(shard.n for shard in data.train())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_about_hold_out_of_the_rows_make_validation_shards_of_like_size(tmp_path, inline, share):
    path = text(tmp_path, b"\n".join(table(2000, 3)))
    data = prepare(path, str(tmp_path / "d"), inline, shards=4, hold_out=share)
    held = sum(shard.n for shard in data.validation())
    assert abs(held / 2000 - share) < 0.04
    assert len(data.train()) == 4 and len(data.validation()) == max(1, round(4 * share / (1 - share)))


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 40])
def test_any_number_of_shards_holds_every_row_once(tmp_path, inline, shards):
    lines = table(50, 4)
    path = text(tmp_path, b"\n".join(lines))
    data = prepare(path, str(tmp_path / "d"), inline, shards=shards)
    assert [shard.name for shard in data.shards] == [f"part-{i:05d}" for i in range(shards)]
    rows = rows_by_role(data)["train"]
    assert sorted(x for x, _ in rows) == sorted(tuple(map(float, line.split(b",")))
                                                for line in lines)


def test_one_example_and_an_empty_file_beside_it_make_a_dataset(tmp_path, local):
    files = [text(tmp_path, "a,b,y\n1,2,0\n", "1.csv"), text(tmp_path, "", "2.csv")]
    data = prepare(files, str(tmp_path / "d"), local, label="y", hold_out=0.25)
    assert sum(shard.n for shard in data.shards) == 1
    assert {shard.role for shard in data.shards} == {"train", "validation"}
    assert (data.shape, data.columns) == ((2,), ["a", "b"])


def as_text(folder, x, y):
    return [text(folder, "\n".join(f"{t},{','.join(map(str, row))}" for t, row in zip(y, x)))]


def as_npz(folder, x, y):
    np.savez(folder / "a.npz", x=x, y=y)
    return [str(folder / "a.npz")]


def as_idx(folder, x, y):
    return [text(folder, idx(y), "labels"), text(folder, idx(x), "images")]


def as_jsonl(folder, x, y):
    return [text(folder, "\n".join(json.dumps({"y": int(t), "x": row.tolist()}) for row, t in zip(x, y)), "in.jsonl")]


def in_two(name, write):
    """What writes the columns of the rows into two files."""
    def as_columns(folder, x, y):
        paths = [str(folder / f"{i}.{name}") for i in range(2)]
        for i, path in enumerate(paths):
            write({"y": y[i::2].tolist(), **{column: x[i::2, k].tolist() for k, column in enumerate("abcd")}}, path)
        return paths
    return as_columns


def write_avro(columns, path):
    with open(path, "wb") as file:
        fastavro.writer(file, {"name": "row", "type": "record", "fields": [{"name": name, "type": "int"} for name in columns]},
                        [dict(zip(columns, row)) for row in zip(*columns.values())])


as_parquet = in_two("parquet", lambda columns, path: pq.write_table(pa.table(columns), path))
as_orc = in_two("orc", lambda columns, path: orc.write_table(pa.table(columns), path))

def as_libsvm(folder, x, y):
    return [text(folder, "\n".join(f"{t} " + " ".join(f"{i}:{v}" for i, v in enumerate(row, 1) if v) for row, t in zip(x, y)), "in.svm")]


#: of each form of input: what writes x[n, 4] and y[n], uint8, to files; the name of the label
SAME = {"npz": (as_npz, None), "idx": (as_idx, None), "jsonl": (as_jsonl, "y"), "text": (as_text, "0"),
        "parquet": (as_parquet, "y"), "orc": (as_orc, "y"), "avro": (in_two("avro", write_avro), "y"), "libsvm": (as_libsvm, None)}


def test_the_same_numbers_give_the_same_rows_in_every_form_however_it_is_cut(
        tmp_path, inline, local, monkeypatch):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (90, 4)).astype("u1"), random.integers(0, 3, 90).astype("u1")
    inputs = {kind: (write(tmp_path, x, y), label) for kind, (write, label) in SAME.items()}

    def made(kind, cluster):
        paths, label = inputs[kind]
        tasks = []
        data = prepare(paths, f"{tmp_path}/{kind}-{cluster.runner}", cluster, label=label, shards=2,
                       hold_out=0.2, classes=3, on_task=lambda *task: tasks.append(task))
        assert sniff(paths, label).kind == kind
        assert (data.shape, data.target) == ((4,), dataset.Target((), 3, 0, 2))
        return data, max(total for phase, _, total in tasks if phase == "mapper")

    whole = {kind: made(kind, inline) for kind in SAME}
    rows = [{role: sorted(found) for role, found in rows_by_role(data).items()}
            for data, _ in whole.values()]
    assert all(found == rows[0] for found in rows)
    for module, name in ((splits, "SMALLEST_SPLIT"), (arrays, "RANGE"), (Schema, "share"), (columnar.Columnar, "share"),
                         (columnar, "BYTES"), (avro, "SPAN")):
        monkeypatch.setattr(module, name, 100)
    for kind in SAME:
        data, mappers = made(kind, local)
        assert shard_bytes(data) == shard_bytes(whole[kind][0])
        assert mappers > 1, f"{kind} was not cut"


def test_every_form_is_in_the_table_above():
    kinds = [form.kind for form in FORMS]
    assert set(kinds) == set(SAME), "SAME and FORMS in readers/table.py differ"
    assert set(READERS.values()) == {*FORMS, Corpus}, "two forms have one kind: each needs its own"


@dataclass(frozen=True, kw_only=True)
class Wide(Schema):
    """Gives more numbers a row than its shape has."""
    kind = "wide"

    def read(self, rows, lines):
        for line in lines:
            yield from rows.encoded(np.ones((1, 4)), np.ones((1, 1)), np.zeros(1, "i8"), [line])


def test_a_reader_whose_rows_are_not_as_its_schema_says_is_stopped():
    wide = Wide(files=[], shape=[2], target=[])
    with pytest.raises(AssertionError, match=r"Wide.read gave .* \(4, 1\) .* there are \(2, 1\)"):
        mapped(plan_of(wide), [b"1"])
    with pytest.raises(NotImplementedError, match="Wide needs by_lines = True, or spans"):
        wide.spans()


def test_an_npz_is_read_by_many_mappers_with_the_same_result(tmp_path, local, monkeypatch):
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).random((100, 3, 2)), w=np.ones(100))
    one = prepare(tmp_path / "a.npz", str(tmp_path / "d1"), local, weight="w")
    monkeypatch.setattr(arrays, "RANGE", 1000)
    monkeypatch.setattr(Schema, "share", 1000)
    tasks = []
    many = prepare(tmp_path / "a.npz", str(tmp_path / "d2"), local, weight="w",
                           on_task=lambda kind, done, total: tasks.append((kind, total)))
    assert ("mapper", 6) in tasks
    assert shard_bytes(one) == shard_bytes(many)
    assert one.weighted and one.target is None and one.shape == (3, 2)


def test_no_input_makes_more_mappers_than_the_bound(tmp_path, local, monkeypatch):
    np.savez(tmp_path / "a.npz", x=np.zeros((100, 300)))
    monkeypatch.setattr(arrays, "RANGE", 1000)
    monkeypatch.setattr(arrays, "SPANS", 5)
    monkeypatch.setattr(Schema, "share", 1000)
    tasks = []
    prepare(tmp_path / "a.npz", str(tmp_path / "d"), local, on_task=lambda kind, done, total: tasks.append((kind, total)))
    assert ("mapper", 5) in tasks


def test_a_label_between_fractional_features_and_a_weight_make_a_dataset(tmp_path, inline):
    path = text(tmp_path, "a,y,b,w\n0.5,1,2.5,0.25\n1.5,0,3.5,1\n")
    data = prepare(path, str(tmp_path / "d"), inline, label="y", weight="w")
    assert data.weighted and sorted(rows_by_role(data)["train"]) == [((0.5, 2.5), 1), ((1.5, 3.5), 0)]


def test_labels_of_more_digits_than_a_double_has_are_told_of(tmp_path, inline):
    path = text(tmp_path, "a,id\n1,1234567890123456789\n2,7\n")
    (note,) = prepare(path, str(tmp_path / "d"), inline, label="id").notes
    assert "labels of more than 15 digits are rounded" in note


def test_the_dataset_says_what_its_labels_are(tmp_path, inline):
    for i, (labels, target) in enumerate([
            ("0 1 4", dataset.Target((), 5, 0, 4)), ("0 0 0", dataset.Target((), 2, 0, 0)),
            ("0 0.5 1", dataset.Target((), None, 0, 1)), ("-1 0 1", dataset.Target((), None, -1, 1))]):
        path = text(tmp_path, "".join(f"{row},{y}\n" for row, y in enumerate(labels.split())))
        data = prepare(path, str(tmp_path / f"d{i}"), inline, label="1")
        assert data.target == target
    np.savez(tmp_path / "a.npz", x=np.eye(3), y=np.eye(3)[:, :2])
    data = prepare(tmp_path / "a.npz", str(tmp_path / "v"), inline)
    assert data.target == dataset.Target((2,), None)
