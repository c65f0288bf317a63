"""Averaging frequencies that rules choose: each rule against its formula, and runs with them; warm starts on one worker."""
import math
from dataclasses import fields, replace

import pytest
from averaged import averaging, died, network, whole

from mrdl import resume
from mrdl.cli import main
from mrdl.config import ConfigError, serialize
from mrdl.data.dataset import load
from mrdl.driver.rhythm import Rhythm
from mrdl.frequency import COST, NAME, QSR, AdaComm, Auto, PostLocal, chosen, rule
from mrdl.optimizers import Adam
from mrdl.rounds.record import Trained
from mrdl.runs.commits import RunError
from mrdl.runs.run import Run
from mrdl.schedules import ExponentialDecay


def followed(of, rounds, facts=lambda r: {}, rate=lambda r: 0.1):
    """What the rule chooses in each round, and the history, where round r gives `facts(r)`."""
    history = [{"round": 0, "progress": 0.0}]
    for r in range(1, rounds + 1):
        history.append({"round": r, NAME: of.next(history, rate(r)), **facts(r)})
    return [entry[NAME] for entry in history[1:]], history


# -- the rules

def cost(beyond, minibatch=0.001):
    return {COST: {"beyond": beyond, "minibatch": minibatch}}


@pytest.mark.parametrize("target, beyond, minibatch", [(0.05, 1.0, 0.01), (0.05, 0.03, 0.001), (0.2, 0.003, 0.001), (0.05, 0.0, 0.001)])
def test_auto_keeps_the_share_below_the_target_with_the_least_power_of_2(target, beyond, minibatch):
    found, _ = followed(Auto(target), 12, lambda r: cost(beyond, minibatch))
    share = {n: beyond / (beyond + n * minibatch) for n in (2 ** k for k in range(20))}
    least = min(n for n in share if share[n] <= target)
    assert found == [16] * 5 + [least] * 7


def test_auto_changes_rarely():
    """Noise at a boundary lets it go up once; one slow round changes nothing; it goes down where a quarter would do."""
    assert followed(Auto(0.5), 40, lambda r: cost(0.0165 if r % 2 else 0.0155))[0] == [16] * 5 + [32] * 35
    assert followed(Auto(0.4), 20, lambda r: cost(9.0 if r % 6 == 1 else 0.01))[0] == [16] * 20
    assert followed(Auto(0.5), 7, lambda r: cost(0.005))[0] == [16] * 7
    assert followed(Auto(0.5), 7, lambda r: cost(0.004))[0] == [16] * 5 + [4] * 2
    # rounds that were tried again say nothing
    assert followed(Auto(0.5), 16, lambda r: {} if r % 3 else cost(0.064))[0] == [16] * 15 + [64]


def test_post_local_is_1_and_then_its_frequency():
    found, _ = followed(PostLocal(0.5, 6), 9, lambda r: {"progress": r / 8})
    assert found == [1] * 4 + [6] * 5


def test_adacomm_is_its_formula():
    losses = [2.0, 1.9, 1.0, 0.9, 0.8, 0.6, 0.5, 0.5, 0.5, 0.01, 0.5, 3.0, 3.0]
    found, _ = followed(AdaComm(9, 3), 13, lambda r: {"loss": losses[r - 1]})
    wanted, now = [], 9
    for r in range(13):
        if r and r % 3 == 0:
            basic = math.ceil(9 * math.sqrt(losses[r - 1] / losses[0]))
            now = basic if basic < now else max(1, now // 2)
        wanted.append(now)
    assert found == wanted == [9, 9, 9, 7, 7, 7, 5, 5, 5, 2, 2, 2, 1]
    assert followed(AdaComm(9, 1), 3, lambda r: {"loss": -1.0})[0] == [9] * 3       # no loss that it could follow
    assert followed(AdaComm(9, 1), 2, lambda r: {"loss": 5.0 - 6 * (r > 1)})[0] == [9, 4]
    assert followed(AdaComm(9, 1), 3, lambda r: {"loss": 5.0 - 6 * (r > 1)})[0] == [9, 4, 1]
    # rounds before the first that it chose, as of a warm start, are none of its own
    assert AdaComm(9, 2).next([{}, {"loss": 9.0}, {"loss": 4.0, NAME: 9}, {"loss": 1.0, NAME: 9}], 0.1) == 5


def test_qsr_is_its_formula():
    rates = [0.1, 0.05, 0.02, 0.01, 0.0, 1e-320]
    found, _ = followed(QSR(0.06, 2), 6, rate=lambda r: rates[r - 1])
    assert [math.floor(x) if math.isfinite(x) else x for x in found] == [2, 2, 9, 36, math.inf, math.inf]


def test_given_numbers_hold_from_their_rounds():
    found, history = followed(rule("4, 8 from 3, 2 from 6"), 7)
    assert found == [4, 4, 8, 8, 8, 2, 2] and chosen(history) == "4, 8 from 3, 2 from 6" == str(rule(" 4,8 from  3,2 from 6"))
    assert chosen([{"round": 0}]) == ""


@pytest.mark.parametrize("text, wanted", [
    ("auto", Auto()), ("auto 0.1", Auto(0.1)), ("AUTO target=0.1", Auto(0.1)), ("post-local after 2.5 frequency 8", PostLocal(2.5, 8)),
    ("post_local after 3", PostLocal(3)), ("adacomm every 5", AdaComm(every=5)), ("qsr 0.02", QSR(0.02)), ("qsr alpha 0.02 base 8", QSR(0.02, 8))])
def test_a_rule_is_what_its_text_and_its_dict_say(text, wanted):
    assert rule(text) == wanted == rule(str(wanted)) == rule(serialize(wanted)) == rule(wanted)


def test_numbers_stay_numbers():
    assert (rule(3), rule("12"), rule(None)) == (3, 12, None)


@pytest.mark.parametrize("value, reason", [
    ("autos", "unknown averaging frequency 'autos' .did you mean Auto"), ("auto 1", "auto: target must be below 1"),
    ("auto target 0", "auto: target must be above 0"), ("post-local", "after is missing"), ("post-local 1 frequency 0", "must be above 0"),
    ("adacomm frequency 2.5", "must be a whole number"), ("qsr base 3", "alpha is missing"), (2.5, "unknown averaging frequency"),
    (True, "unknown averaging frequency"), ("4, 8", "'4, 8' is none; there are"), ("4 from 2", "begins with round 1"),
    ("4, 8 from 3, 2 from 3", "a later round"), ("4, x from 3", "is none"),
    ("0, 8 from 3", "is none"), ("auto target", "'target' must be a finite number")])
def test_what_is_no_averaging_frequency_is_refused(value, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        rule(value)
    assert "\n" not in str(error.value)


# -- runs

@pytest.fixture
def clock(monkeypatch):
    """clock(beyond, minibatch): from now on rounds take so long, whatever the real clock says; returns the rounds' real times."""
    real, seen = Rhythm.facts, []

    def set_to(beyond, minibatch):
        def facts(self, asked, records, lanes, seconds):
            seen.append((seconds, lanes(len(asked.train))))
            timed = [replace(r, seconds={"read": 0.0, "compute": math.ceil(r.n / asked.batch_size) * minibatch})
                     for r in records if isinstance(r, Trained)]
            return real(self, asked, timed, lambda workers: workers, beyond + max(r.seconds["compute"] for r in timed))
        monkeypatch.setattr(Rhythm, "facts", facts)
        return seen
    return set_to


def frequencies(run):
    return [entry.get(NAME) for entry in Run(run).history()]


def test_auto_writes_what_it_chose_and_measures_nothing_again(tmp_path, made, clock):
    data, options = made(300, shards=2).url, {"batch_size": 1, "rounds": 9}
    seen = clock(0.1, 0.1)                      # 19 minibatches, so 32
    averaging(averaging_frequency="auto", **options).fit(network(), data, run=str(tmp_path / "once"))
    history = Run(tmp_path / "once").history()
    assert frequencies(tmp_path / "once") == [16] * 5 + [32] * 4 and chosen(history) == "16, 32 from 6"
    assert [entry[COST] for entry in history] == [pytest.approx({"beyond": 0.1, "minibatch": 0.1})] * 9
    assert all(seconds > 0 for seconds, _ in seen)      # the driver did measure
    assert [entry["trained"] for entry in history[:6]] == [32] * 5 + [64]
    assert next(entry["examples"] for entry in history if entry["epochs"]) == 300       # no row is lost

    def killed(event, facts):
        if event == "round" and facts["round"] == 5:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        averaging(averaging_frequency="auto", **options).fit(network(), data, run=str(tmp_path / "run"), told=killed)
    clock(1000.0, 0.1)                          # on another machine
    resume(str(tmp_path / "run"), "inline")
    assert frequencies(tmp_path / "run") == frequencies(tmp_path / "once")
    assert whole(tmp_path / "run")[:3] == whole(tmp_path / "once")[:3]
    averaging(averaging_frequency=chosen(history), runner="local", resident="always", cores=2, **options).fit(
        network(), data, run=str(tmp_path / "local"))
    assert whole(tmp_path / "local")[:3] == whole(tmp_path / "once")[:3] and frequencies(tmp_path / "local") == frequencies(tmp_path / "once")


def test_no_round_is_longer_than_a_shard(tmp_path, made, clock):
    clock(1000.0, 0.1)
    data = made(400, shards=2)
    averaging(averaging_frequency="auto", epochs=3).fit(network(), data.url, run=str(tmp_path / "run"))
    assert {*frequencies(tmp_path / "run")} == {16, math.ceil(max(s.n for s in data.shards) / 8)}


@pytest.mark.parametrize("of", ["post-local after 1 frequency 5", "adacomm frequency 5 every 2", "qsr alpha 0.01 base 2"])
def test_runs_follow_a_rule_with_the_same_bits_wherever_and_however_often_they_stop(tmp_path, made, of):
    data = made(90, shards=2, hold_out=0.2).url

    def model():
        return network(optimizer=Adam(ExponentialDecay(0.01, 5, 0.6)))
    options = {"averaging_frequency": of, "epochs": 2, "batch_size": 4}
    averaging(**options).fit(model(), data, run=str(tmp_path / "once"))
    if of.startswith("adacomm"):
        averaging(runner="local", resident="always", cores=2, **options).fit(model(), data, run=str(tmp_path / "local"))
        assert whole(tmp_path / "local") == whole(tmp_path / "once")
    died(model(), data, tmp_path / "run", 4, **options)
    assert whole(tmp_path / "run") == whole(tmp_path / "once")
    history = Run(tmp_path / "once").history()
    assert len({entry[NAME] for entry in history}) > 1
    found, longest = load(data), math.ceil(max(s.n for s in load(data).train()) / 4)
    for r, entry in enumerate(history):         # the rate falls by 0.6 in 5 updates
        wanted = rule(of).next([{"progress": 0.0}, *history[:r]], 0.01 * 0.6 ** (sum(e["updates"] for e in history[:r]) / 5))
        assert entry[NAME] == int(min(wanted, longest))
    assert history[-1]["examples"] == 2 * sum(s.n for s in found.train())
    # scored is what has as many examples as scoring may be compared with, as near as rounds end, and the end
    step, seen = sum(s.n for s in found.validation()) / 3 / 0.2, [0, *(entry["examples"] for entry in history)]
    crossed = {r for r in range(1, len(seen)) if seen[r] // step > seen[r - 1] // step} | {len(history)}
    assert {entry["round"] for entry in history if "val_loss" in entry} == crossed != {len(history)}


def test_rounds_that_were_tried_again_or_staged_are_not_measured(made):
    rhythm, asked = Rhythm(averaging(averaging_frequency="auto").options(), 8, made(60), []), Asked()
    records = [Trained(**{field.name: None for field in fields(Trained)} | {"n": 16, "seconds": {"read": 0.5, "compute": 1.5, "emit": 9.0}})] * 2
    assert rhythm.facts(asked, records, lambda n: n, None) == {NAME: 2} == rhythm.facts(asked, records, lambda n: 0, 5.0)
    assert rhythm.facts(asked, records, lambda n: n, 5.0) == {NAME: 2, COST: {"beyond": 3.0, "minibatch": 1.0}}
    assert rhythm.facts(asked, records, lambda n: 1, 5.0)[COST] == {"beyond": 1.0, "minibatch": 2.0}      # one after the other
    asked.count = None                          # a warm start's
    assert rhythm.facts(asked, records, lambda n: n, 5.0) == {}


class Asked:
    count, batch_size, train = 2, 8, {"a": 0, "b": 1}


# -- a warm start

@pytest.mark.parametrize("every, runner, resident", [(2, "local", "always"), ("post-local after 1.5 frequency 3", "inline", "never")])
def test_a_warm_start_is_a_run_of_one_worker_until_averaging_starts(tmp_path, made, every, runner, resident):
    data = made(120, shards=3).url
    averaging(workers=1, rounds=4, averaging_frequency=None).fit(network(), data, run=str(tmp_path / "alone"))
    averaging(warm_start=4, outer="nesterov", averaging_frequency=every, epochs=2, keep_rounds=9, runner=runner, resident=resident,
              cores=2).fit(network(), data, run=str(tmp_path / "run"))
    run = Run(tmp_path / "run")
    alone, warm, history = Run(tmp_path / "alone").state(4), run.state(4), run.history()
    assert warm.vector.tobytes() == alone.vector.tobytes() and warm.iterations == alone.iterations and not warm.outer.any()
    assert [entry["workers"] for entry in history[:6]] == [1, 1, 1, 1, 2, 2] and run.state(5).outer.any()
    assert [history[r]["examples"] for r in (2, -1)] == [120, 240]      # each row once an epoch
    assert [entry.get(NAME) for entry in history[:5]] == [None] * 4 + [None if every == 2 else 1]


def test_a_warm_start_that_makes_no_sense_is_refused():
    with pytest.raises(RunError, match="warm_start must be 1 or more, not 0"):
        averaging(warm_start=0).options()
    with pytest.raises(RunError, match="warm_start cannot be used"):
        averaging(warm_start=1, fragments=2).options()
    with pytest.raises(RunError, match="averaging_frequency must be 1 or more, not 0"):
        averaging(averaging_frequency="0").options()


def test_the_command_line_takes_a_rule_and_shows_what_it_chose(tmp_path, made, capsys):
    data = made(60).url
    (tmp_path / "net.py").write_text(
        "import mrdl\nfrom mrdl.layers import Dense\nmodel = mrdl.Sequential([Dense(3, 'softmax')])\n"
        "model.compile('adam', 'sparse_categorical_crossentropy')\n")

    def run(every, name, *more):
        return main(["train", str(tmp_path / "net.py"), data, str(tmp_path / name), "-r", "inline", "--rounds", "5", "--batch-size", "2",
                     "--averaging-frequency", every, *more])
    assert run("post-local 0.3 frequency 4", "run", "--warm-start", "1") == 0
    assert Run(tmp_path / "run").options()["options"][NAME] == "post-local after 0.3 frequency 4"
    assert run("7", "other") == 0 and Run(tmp_path / "other").options()["options"][NAME] == 7
    capsys.readouterr()
    assert run("automatic", "third") == 2
    assert capsys.readouterr().err.startswith("mrdl: unknown averaging frequency 'automatic'") and not (tmp_path / "third").exists()
    assert main(["show", str(tmp_path / "run")]) == 0
    assert "averaging every post-local after 0.3 frequency 4 (which chose 4), after 1 round of one worker" in capsys.readouterr().out
