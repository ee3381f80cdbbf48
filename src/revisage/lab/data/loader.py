"""Samples by index -> batches, prepared ahead by threads, in an order that never depends on them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

Sample = dict[str, np.ndarray]


class Loader:
    """Endless batches of `make(index)` for index = start, start + 1, ...

    Threads suffice: decoding, warping and filtering release the interpreter lock, and nothing is copied
    between processes. `make` must draw everything from its index, so that batch k is the same in any
    run and with any number of threads, which is what makes a resumed training equal an uninterrupted one.

    Attributes:
        waited: seconds the consumer has waited for data so far.
    """

    def __init__(
        self, make: Callable[[int], Sample], *, batch: int, start: int = 0, threads: int = 1, ahead: int = 3
    ) -> None:
        if batch < 1 or threads < 1 or ahead < 1:
            raise ValueError("batch, threads and ahead must be at least 1")
        self._make, self._batch, self._start, self._ahead = make, batch, start, ahead
        self._threads = threads
        self.waited = 0.0

    def __iter__(self) -> Generator[Sample, None, None]:
        """Raises in the consumer what `make` raises. Closing the generator drops the batches made ahead."""
        index = self._start
        queue: deque[list[Future[Sample]]] = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="data")
        try:
            while True:
                while len(queue) < self._ahead:
                    queue.append([pool.submit(self._make, index + i) for i in range(self._batch)])
                    index += self._batch
                begun = time.perf_counter()
                samples = [future.result() for future in queue.popleft()]
                self.waited += time.perf_counter() - begun
                yield {key: np.stack([s[key] for s in samples]) for key in samples[0]}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
