"""Ways that take turns."""

from musicbench.speed.clocks import HostClock
from musicbench.speed.rounds import in_turns


def test_seconds_are_of_each_way_and_the_ways_alternate(monkeypatch):
    now, order = 0.0, []
    ticks = {"one": iter([1, 5, 2]), "other": iter([10, 20, 30])}

    def way(name: str) -> None:
        nonlocal now
        order.append(name)
        now += next(ticks[name])

    monkeypatch.setattr("time.perf_counter", lambda: now)
    found = in_turns({"one": lambda: way("one"), "other": lambda: way("other")}, HostClock(), rounds=3)
    assert found == {"one": [1, 5, 2], "other": [10, 20, 30]}
    assert order == ["one", "other"] * 3
