"""Work spread over threads, with results in order and bounded memory, for work that releases Python's lock."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH = 32


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], batch_size: int = BATCH, threads: int | None = None
) -> Iterator[Result]:
    """Yield `function(item)` in the order of `items`, computed ahead on `threads` threads (default: the cores, 2 to 8).

    At most two batches a thread are computed ahead. An exception of `function` is raised here; batches that have not
    begun are dropped.
    """
    threads = threads or min(8, max(2, os.cpu_count() or 2))
    batches = in_batches(items, batch_size)
    waiting: deque[Future[list[Result]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for batch in islice(batches, 2 * threads):
            waiting.append(pool.submit(_each, function, batch))
        while waiting:
            results = waiting.popleft().result()
            waiting.extend(pool.submit(_each, function, batch) for batch in islice(batches, 1))
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of `size`, the last of which may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _each(function: Callable[[Item], Result], batch: list[Item]) -> list[Result]:
    return [function(item) for item in batch]
