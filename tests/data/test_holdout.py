"""What is held out: distinct rows, near the share that was asked for where that can be, and said where it cannot."""
import numpy as np
import pytest
from raw_data import table, text

from mrdl.data import blocks, dataset, holdout
from mrdl.data.reference import expanded
from mrdl.data.tables.words import Words
from mrdl.driver.preparation.prepare import prepare
from mrdl.driver.preparation.refer import refer
from mrdl.runners import splits
from mrdl.runners.cluster import Cluster


def made(tmp_path, inline, lines, hold_out=0.1, seed=0):
    path = text(tmp_path, "\n".join(["a,b,y", *lines]))
    data = prepare(path, str(tmp_path / f"d{seed}"), inline, label="y", hold_out=hold_out, seed=seed)
    held = sum(shard.n for shard in data.validation())
    assert held + sum(shard.n for shard in data.train()) == len(lines)
    return held, [note for note in data.notes if not note.startswith(("warning: column", "warning: of class"))]


@pytest.mark.parametrize("seed", range(4))
def test_of_few_distinct_rows_those_are_held_out_that_come_near_to_the_share(tmp_path, inline, seed):
    held, notes = made(tmp_path, inline, [f"{i % 20},{i % 7},0" for i in range(20 * 7 * 3)], seed=seed)
    assert abs(held - 42) <= 0.25 * 42 and notes == []     # 140 distinct rows, each three times
    held, notes = made(tmp_path, inline, [f"{i % 10},1,0" for i in range(50)], seed=seed + 10)
    assert held == 5 and notes == []


def test_where_equal_rows_keep_the_share_from_being_met_that_is_told(tmp_path, inline):
    xor = ["0,0,0", "0,1,1", "1,0,1", "1,1,0"] * 50
    held, (note,) = made(tmp_path, inline, xor)
    assert held == 0 and "0 of 200 rows (0 %) are held out, and 10 % were asked for" in note and "only 4 of the rows" in note
    held, (note,) = made(tmp_path, inline, xor, 0.25, seed=1)
    assert held == 50 and note.startswith("warning: only 4 of the 200 rows differ, and equal ones are held out together")
    rng = np.random.default_rng(0)
    idle = ["0,0,0"] * 18000 + [f"{a},{b},1" for a, b in rng.standard_normal((2000, 2)).round(4)]
    held, (note,) = made(tmp_path, inline, idle, seed=2)
    assert 100 < held < 300 and "some rows occur very often" in note


def test_classes_of_which_other_shares_are_held_out_are_told_of_and_what_is_advised_helps(tmp_path, inline):
    kinds = [f"{i % 4},{i % 5},{'no' if i % 3 else 'yes'}" for i in range(20)]
    path = text(tmp_path, "\n".join(["n,a,b,y", *(f"{i},{kinds[i * i % 20]}" for i in range(1200))]))

    def told(data):
        return [note for note in data.notes if note.startswith("warning: of class")]
    options = {"runner": inline, "label": "y", "hold_out": 0.2, "seed": 3}
    plain = prepare(path, str(tmp_path / "plain"), ids=["n"], **options)
    note, = told(plain)
    assert note.endswith(" held out, and 20 % were asked for, as equal rows are held out together; --stratify may keep shares of classes nearer; "
                         "--group COLUMN of one that numbers the rows holds out each by itself, equal ones too")
    assert all(f"{name!r} {100 * held / n:.3g} %" in note for name, (held, n) in zip(("no", "yes"), shares(plain).values()))
    assert told(refer(path, str(tmp_path / "raw"), ids=["n"], **options)) == [note]
    numbered = prepare(path, str(tmp_path / "numbered"), group="n", **options)
    assert all(0.15 * n < held < 0.25 * n for held, n in shares(numbered).values()) and not told(numbered)


def test_what_is_told_of_classes_is_no_matter_of_chance():
    told = holdout.told_of_classes
    assert told(0.2, {"a": (800, 200), "b": (92, 8), "c": (0, 0)}, False, False) == [] == told(0.0, {"a": (9, 0)}, False, False)
    assert told(0.2, {"a": (800, 200), "b": (0, 1)}, False, True)[0].startswith("warning: of class 'b' 100 %, of 'a' 20 % are held out")
    assert "--stratify" not in told(0.2, {"a": (0, 1)}, False, True)[0] and "--group" in told(0.2, {"a": (0, 1)}, False, True)[0]
    assert len(told(0.2, {"a": (8000, 1000), "b": (8000, 3000)}, True, False)) == 1


def test_a_choice_takes_at_most_twice_the_share_of_the_distinct_rows():
    counts = {f"{i:016x}": 1 for i in range(100)} | {"f" * 16: 9900}
    assert len(holdout.better(0.1, 0, 10_000, counts)) == 20
    assert holdout.better(0.1, 100, 1000, counts) is None               # near enough as it is
    assert holdout.better(0.1, 0, 10_000, None) is None                 # too many distinct ones to count


def test_with_many_rows_chance_is_no_reason_for_a_warning_and_nothing_is_counted(tmp_path, inline):
    lines = [line.decode() for line in table(1500, 3)]
    held, notes = made(tmp_path, inline, lines, 0.02)
    assert abs(held - 30) < 4 * 30 ** 0.5 and notes == []
    rows = holdout.HoldOut(0.5, 0, None)
    n = 2 * holdout.FEW
    assert rows.takes(Words.of(b"%d" % i for i in range(n)), np.zeros(n, "u8")).sum() > 0.4 * n
    assert rows.counts is None
    assert holdout.together([{"a": 1}, {"a": 2, "b": 1}]) == {"a": 3, "b": 1}
    assert holdout.together([{"a": 1}, None]) is None
    assert holdout.together([{str(i): 1 for i in range(holdout.FEW)}, {"x": 1}]) is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_the_dtype_makes_equal_are_held_out_together(tmp_path, inline, dtype):
    """As text: near to whole numbers, below the smallest one, minus zero; in labels and weights too."""
    rng = np.random.default_rng(0)
    rows = [(a, b, y, w) for a, b, y, w in zip(rng.integers(0, 9, 150), rng.random(150).round(3) + 0.1,
                                              rng.integers(0, 3, 150) / 10, rng.integers(1, 4, 150) / 10)]
    lines = [f"{a},{b:.3f},{y},{w}" for a, b, y, w in rows]
    lines += [f"{a or '-0.0'}{'.00000000001' if a else ''},{b:.3f}00000001,{y:.1f}00000001,{w}00000001" for a, b, y, w in rows]
    lines += [f"{a or 1e-60},{b},{y or -1e-60},{w}" for a, b, y, w in rows]
    path = text(tmp_path, "\n".join(["a,b,y,w", *lines]))
    data = prepare(path, str(tmp_path / "d"), inline, label="y", weight="w", hold_out=0.4, dtype=dtype)
    assert both_sides(data) == set() and len(data.validation()) > 0


def test_rows_of_an_npz_that_float32_makes_equal_are_held_out_together(tmp_path, inline):
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 200, (150, 3)).astype("f8"), rng.random(150)
    np.savez(tmp_path / "a.npz", x=np.concatenate([x, x + 1e-12, -x * 1e-60]), y=np.concatenate([y, y + 1e-12, y]))
    data = prepare(str(tmp_path / "a.npz"), str(tmp_path / "d"), inline, hold_out=0.4)
    assert both_sides(data) == set() and len(data.validation()) > 0


def both_sides(data: dataset.Dataset) -> set:
    """The rows, as they are stored, that are both trained on and held out."""
    found = {"train": set(), "validation": set()}
    for shard in data.shards:
        with open(shard.path, "rb") as file:
            for line in file:
                arrays = blocks.unpack(line.rstrip(b"\n")).arrays()
                found[shard.role] |= set(zip(*(map(tuple, a.reshape(len(a), -1).tolist()) for a in arrays.values())))
    return found["train"] & found["validation"]


def shares(data: dataset.Dataset) -> dict[str, tuple[int, int]]:
    """By class how many rows are held out, of how many."""
    found = {role: np.concatenate([y for _, y in rows_of(data, role)] or [np.empty(0)]) for role in ("train", "validation")}
    return {k: ((found["validation"] == k).sum(), (found["validation"] == k).sum() + (found["train"] == k).sum())
            for k in np.unique(found["train"]).tolist()}


def labels_by_shard(data: dataset.Dataset) -> list[list]:
    found = []
    for shard in data.shards:
        with open(shard.path, "rb") as file:
            found.append([blocks.unpack(line.rstrip(b"\n")).arrays()["y"].tolist() for line in file])
    return found


def labelled(data: dataset.Dataset, role: str) -> list:
    """The rows of a part, of raw files too."""
    found = []
    for shard in data.shards:
        with open(shard.path, "rb") as file:
            for line in expanded(file) if shard.role == role else ():
                arrays = blocks.unpack(line.rstrip(b"\n")).arrays()
                found += zip(map(tuple, arrays["x"].tolist()), arrays["y"].tolist())
    return found


def rows_of(data: dataset.Dataset, role: str) -> list:
    found = []
    for shard in data.shards:
        with open(shard.path, "rb") as file:
            arrays = [blocks.unpack(line.rstrip(b"\n")).arrays() for line in file] if shard.role == role else []
        found += [(a["x"], a["y"]) for a in arrays]
    return found


@pytest.mark.parametrize("seed, hold_out", [(0, 0.1), (1, 0.25), (2, 0.5)])
def test_each_class_keeps_its_share_to_one_row(tmp_path, inline, seed, hold_out):
    rng = np.random.default_rng(seed)
    lines = [f"{x:.6f},{'abc'[k]}" for x, k in zip(rng.random(1500), rng.choice(3, 1500, p=[0.9, 0.07, 0.03]))]
    path = text(tmp_path, "\n".join(["x,kind", *lines]))
    data = prepare(path, str(tmp_path / "d"), inline, label="kind", hold_out=hold_out, seed=seed, stratify=True)
    for held, rows in shares(data).values():
        assert abs(held - hold_out * rows) <= max(0.5, 0.01 * hold_out * rows)
    assert both_sides(data) == set() and data.notes == []
    plain = prepare(path, str(tmp_path / "plain"), inline, label="kind", hold_out=hold_out, seed=seed)
    assert plain.uid != data.uid


@pytest.mark.parametrize("cores", [2, 7])
@pytest.mark.parametrize("options", [{"label": "kind", "stratify": True}, {"label": "kind", "group": "who"}])
def test_the_same_rows_are_held_out_however_the_input_is_split(tmp_path, inline, monkeypatch, cores, options):
    lines = [f"p{i * i % 37},{i % 11},{i / 7:.3f},{'ab'[i % 9 > 0]}" for i in range(300)]
    path = text(tmp_path, "\n".join(["who,a,x,kind", *lines]))
    one = prepare(path, str(tmp_path / "one"), inline, hold_out=0.2, **options)
    monkeypatch.setattr(splits, "SMALLEST_SPLIT", 200)
    with Cluster("inline", cores) as cluster:
        other = prepare(path, str(tmp_path / "other"), cluster, hold_out=0.2, **options)
    assert [s.seal for s in one.shards] == [s.seal for s in other.shards] and one.validation()
    raw = refer(path, str(tmp_path / "raw"), inline, hold_out=0.2, **options)
    assert raw.counts == one.counts and sum(raw.counts) == sum(s.n for s in raw.train())
    for role in "train", "validation":
        assert sorted(labelled(one, role)) == sorted(labelled(raw, role))


def test_rows_of_a_group_are_on_one_side(tmp_path, inline):
    lines = [f"{'' if i % 50 == 0 else i % 60},{i % 11},{i * 7 % 60},{i}.5" for i in range(600)]
    path = text(tmp_path, "\n".join(["who,a,same,y", *lines]))
    data = prepare(path, str(tmp_path / "d"), inline, label="y", hold_out=0.3, group="who")
    assert data.columns == ["a", "same"]                       # the group is no feature
    sides = [{int(x) for a, y in rows_of(data, role) for x, i in zip(a[:, 1], y) if int(i) % 50} for role in ("train", "validation")]
    groups = [{i % 60 for i in range(600) if i % 50 and (i * 7 % 60) in side} for side in sides]
    assert all(groups) and not groups[0] & groups[1]           # 7 i mod 60 tells i mod 60
    homes = [{i % 60 for y in shard for i in map(int, y) if i % 50} for shard in labels_by_shard(data)]
    assert len(homes) > 2 and sum(map(len, homes)) == len(set().union(*homes)) == 60         # a group is in one shard
    held = sum(s.n for s in data.validation())
    assert abs(held - 180) < 60 and prepare(path, str(tmp_path / "f"), inline, label="y", hold_out=0.3, group=0,
                                            kinds={"who": "categorical"}).columns[0].startswith("who")


def test_few_groups_are_counted_and_told_of(tmp_path, inline):
    path = text(tmp_path, "who,a,y\n" + "".join(f"{'rst'[i % 3]},{i % 7},{i % 2}\n" for i in range(90)))
    data = prepare(path, str(tmp_path / "d"), inline, label="y", hold_out=0.05, group="who")
    assert "rows of a group are held out together, and there are only 3 groups" in data.notes[-1]


def test_what_cannot_be_kept_together_is_refused(tmp_path, inline):
    path = text(tmp_path, "who,a,y\n" + "".join(f"{'rst'[i % 3]},{i % 7},{i}.5\n" for i in range(400)))
    for options, reason in (({"stratify": True, "label": "y"}, "more than 256 values"), ({"stratify": True}, "no column of labels"),
                            ({"stratify": True, "group": "who", "label": "y"}, "choose one of both"),
                            ({"group": "nobody"}, "nobody")):
        with pytest.raises(ValueError, match=reason):
            prepare(path, str(tmp_path / "d"), inline, **{"hold_out": 0.1, **options})


def test_bounds_come_near_to_the_share_of_large_classes_too():
    strata = {label: holdout.Stratum() for label in ("a", "b")}
    for label, n in (("a", 30_000), ("b", 700)):
        codes = [int.from_bytes(b"%08d" % i, "big") * 0x9E3779B97F4A7C15 % 2**64 for i in range(n)]
        strata[label].add(np.array(codes, "u8"), 0, int(0.4 * 2**64))
    found = holdout.bounds(0.1, {label: each.dump() for label, each in strata.items()})
    for label, n in (("a", 30_000), ("b", 700)):
        held = sum(int.from_bytes(b"%08d" % i, "big") * 0x9E3779B97F4A7C15 % 2**64 < found[label] for i in range(n))
        assert abs(held - 0.1 * n) <= max(0.5, 0.01 * 0.1 * n)


def test_why_classes_of_one_row_cannot_be_held_out_is_told(tmp_path, inline):
    path = text(tmp_path, "a,y\n" + "".join(f"{i / 7:.3f},n{i}\n" for i in range(40)))
    data = prepare(path, str(tmp_path / "d"), inline, label="y", hold_out=0.2, stratify=True)
    assert data.notes[-1] == ("warning: 0 of 40 rows (0 %) are held out, and 20 % were asked for: a row of each class stays at least, and some "
                              "classes have very few rows, or few that differ")
