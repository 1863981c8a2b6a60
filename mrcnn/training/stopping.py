"""Signals that end a training after the step that it is at."""

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Context in which SIGINT and SIGTERM set `requested` instead of stopping the program; a third signal stops it.

    Signals can only be handled in the main thread; in others `requested` stays False.
    """

    def __init__(self) -> None:
        self.received = 0
        self._handlers: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal was received."""
        return self.received > 0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received += 1
        if self.received > 2:
            raise KeyboardInterrupt
        first = "training stops after this step and writes its state"
        message = first if self.received == 1 else "still writing; a third signal stops at once"
        log.warning("%s: %s", signal.Signals(number).name, message)
