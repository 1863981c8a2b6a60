"""Progress of long work: a bar on a terminal, a line now and then in a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Self, TypeVar

from tqdm import tqdm

LEAST_SECONDS, MOST_SECONDS = 5.0, 60.0
"""Between two lines of a log; in between, a tenth of the time that the work has taken so far."""

log = logging.getLogger(__name__)

draw_bars = True
"""Whether stderr is a terminal that a person sees; elsewhere progress is logged."""

Item = TypeVar("Item")


class Progress:
    """Counts work done: `with Progress("reading labels", total=70_000, unit="frame") as bar: bar.advance()`.

    On a terminal it draws a tqdm bar on stderr; elsewhere it logs a line now and then.
    `total` may be None where it isn't known.
    """

    def __init__(self, what: str, total: int | None = None, unit: str = "item") -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0
        self.note = ""
        self._first: tuple[int, float] | None = None
        """How much was done, and when, after the first advance: it may have waited for what is done only once."""
        self._start = time.monotonic()
        self._next_line = self._start + LEAST_SECONDS
        hidden = not (draw_bars and sys.stderr.isatty())
        self._bar = tqdm(total=total, desc=what, unit=unit, disable=hidden, unit_scale=unit == "B")

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more units as done; `note` (a loss, a file name) is shown behind the bar."""
        self.done += count
        self.note = note or self.note
        self._first = self._first or (self.done, time.monotonic())
        self._bar.update(count)
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        now = time.monotonic()
        if self._bar.disable and now >= self._next_line:
            self._next_line = now + min(max(LEAST_SECONDS, (now - self._start) / 10), MOST_SECONDS)
            log.info("%s", self)

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, each counted as done when the next is asked for."""
        for item in items:
            yield item
            self.advance()

    def __str__(self) -> str:
        """Return the line that a log shows: what, how many of how many, how long it takes yet, and the note."""
        of = f" of {self.total:,} ({100 * self.done / self.total:.0f} %)" if self.total else ""
        return " · ".join(filter(None, (f"{self.what}: {self.done:,}{of} {self.unit}", self._left(), self.note)))

    @property
    def seconds_left(self) -> float | None:
        """How long it takes yet at the rate so far; None while that isn't known."""
        done, since = self._first or (self.done, 0.0)
        if not self.total or self.done <= done:
            return None
        return (time.monotonic() - since) / (self.done - done) * (self.total - self.done)

    def _left(self) -> str:
        seconds = self.seconds_left
        return "" if seconds is None else f"{duration(seconds)} left"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.close()


def duration(seconds: float) -> str:
    """Return a time as a person says it: `40 s`, `12 min`, `3 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def track(items: Iterable[Item], what: str, total: int, unit: str) -> Iterator[Item]:
    """Yield `items` with a progress bar."""
    with Progress(what, total, unit) as bar:
        yield from bar.over(items)
