"""What a log shows of long work."""

from types import SimpleNamespace

import pytest

from pipeline.running import progress


def test_a_line_says_how_much_is_done_and_how_long_the_rest_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress, "time", clock)
    with progress.Progress("training", 1000, "step") as bar:
        clock.now = 100.0  # what is done once took 100 s
        bar.advance(10)
        assert str(bar) == "training: 10 of 1,000 (1 %) step"
        clock.now = 130.0
        bar.advance(10, "loss 2.5")
        assert str(bar) == "training: 20 of 1,000 (2 %) step · 49 min left · loss 2.5"


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (11_100, "3 h 5 min")])
def test_durations_are_said_as_people_do(seconds: float, said: str) -> None:
    assert progress.duration(seconds) == said
