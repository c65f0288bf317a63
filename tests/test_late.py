"""What is left out when tests on a cluster have no time left."""
from late import LEAST, late, turned


def test_each_commit_has_an_order_of_its_own():
    names = {f"test_{number}" for number in range(9)}
    assert sorted(turned(names, "a")) == sorted(turned(names, "b")) == sorted(names)
    assert turned(names, "a") == turned(names, "a") != turned(names, "b")


def test_the_time_is_up_when_it_is_said_and_never_without(monkeypatch):
    monkeypatch.delenv("MRDL_UNTIL", raising=False)
    assert not late(1e12, 0)
    monkeypatch.setenv("MRDL_UNTIL", "5000")
    assert [late(now, 0) for now in (4999, 5001)] == [False, True]
    assert [late(now, 5001) for now in (5001 + LEAST, 5002 + LEAST)] == [False, True]
