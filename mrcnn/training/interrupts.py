"""Ctrl-C during training: finish the step, write the state, then stop.

Knows signals only; what is written is `training`'s business.
"""

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 2
"""Signals after which one more stops the program at once."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by a signal, and its state is on disk; the message says where."""


class StopRequest:
    """While entered, SIGINT and SIGTERM set `requested` instead of stopping the program; a third one stops it.

    Signals can only be caught in the main thread; elsewhere `requested` stays False.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.received > 0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received += 1
        if self.received > PATIENCE:
            raise KeyboardInterrupt
        meaning = "training stops after this step and writes its state"
        if self.received > 1:
            meaning = "still writing; once more stops at once"
        log.warning("%s: %s", signal.Signals(number).name, meaning)
