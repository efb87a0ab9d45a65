"""Several ways of doing something, timed in turns."""

from collections.abc import Callable, Mapping

from musicbench.speed.clocks import Clock

Ways = Mapping[str, Callable[[], object]]


def in_turns(ways: Ways, clock: Clock, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in every round.

    The ways take turns, so that what disturbs the machine for a while disturbs all of them.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        marks = [clock.mark()]
        for way in ways.values():
            way()
            marks.append(clock.mark())
        for name, seconds in zip(ways, clock.seconds(marks), strict=True):
            found[name].append(seconds)
    return found
