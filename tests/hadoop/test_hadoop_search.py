"""Searches on a real Hadoop: the bits of those in this process. make test-hadoop."""
import pytest
from hadoop_runs import far_copy

import mrdl
from mrdl.layers import Dense
from mrdl.optimizers import Adam
from mrdl.runs import searches

pytestmark = pytest.mark.hadoop


def model(units=4, rate=0.01):
    made = mrdl.Sequential([Dense(units, "relu"), Dense(3, "softmax")])
    made.compile(Adam(rate), "sparse_categorical_crossentropy")
    return made


def test_a_rung_is_one_job_with_the_bits_of_one_in_this_process(tmp_path, home, made, hadoop):
    """Each of three mappers opens the same three shards, in an order of its own; in the second epoch it reads none of them again."""
    data, jobs = made(200, shards=3, hold_out=0.2, dtype="float32"), []
    for data_url, run, runner in ((data.url, str(tmp_path / "near"), "inline"), (far_copy(data, home), home.path("s"), hadoop)):
        jobs.append([])
        mrdl.Search({"units": "3..9", "rate": "log:1e-3..0.3"}, configurations=3, training=mrdl.ParameterAveraging(
            workers=1, batch_size=8, epochs=2, runner=runner)).fit(model, data_url, run=run, told=lambda event, facts: jobs[-1].append(event))
    near, far = searches.Search(str(tmp_path / "near")), searches.Search(home.path("s"))
    assert near.store.read("rung-000.json") == far.store.read("rung-000.json")
    assert [own["state"] for own in far.rungs()[0]] == ["trained"] * 3
    assert [events.count("job") for events in jobs] == [1, 1]
