"""Samples by index -> batches, prepared ahead by threads or processes, in the order of the indices."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Sample = dict[str, np.ndarray]
_PATIENCE = 600  # seconds that a process may take for a batch


class Loader:
    """Endless batches of `make(index)` for index = 0, 1, ..., as tensors.

    Threads suffice for a CPU: decoding, warping and filtering release the interpreter lock, and nothing is
    copied between processes. A GPU takes more than one interpreter can make; then `workers` are processes.
    `make` must draw everything from its index, so that batch k is the same in any run and with any number of
    workers, which is what makes a resumed training equal an uninterrupted one.

    Attributes:
        waited: seconds the consumer has waited for data so far.
    """

    def __init__(
        self,
        make: Callable[[int], Sample],
        *,
        batch: int,
        workers: int = 1,
        ahead: int = 3,
        processes: bool = False,
        pin: bool = False,
    ) -> None:
        """`ahead`: batches made ahead, of each process where there are `processes`. `pin`: their batches lie
        in memory that a GPU reads from while it computes."""
        if batch < 1 or workers < 1 or ahead < 1:
            raise ValueError("batch, workers and ahead must be at least 1")
        self._make, self._batch, self._ahead = make, batch, ahead
        self._workers, self._processes, self._pin = workers, processes, pin
        self.waited = 0.0

    def __iter__(self) -> Generator[dict[str, Tensor], None, None]:
        """Raises in the consumer what `make` raises. Closing the generator drops the batches made ahead."""
        made = self._by_processes() if self._processes else self._by_threads()
        with closing(made):
            while True:
                begun = time.perf_counter()
                batch = next(made)
                self.waited += time.perf_counter() - begun
                yield batch

    def _indices(self) -> Iterator[list[int]]:
        for first in count(0, self._batch):
            yield list(range(first, first + self._batch))

    def _by_threads(self) -> Generator[dict[str, Tensor], None, None]:
        indices, queue = self._indices(), deque[list[Future[Sample]]]()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="data")
        try:
            while True:
                while len(queue) < self._ahead:
                    queue.append([pool.submit(self._make, index) for index in next(indices)])
                yield _stacked([future.result() for future in queue.popleft()])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _by_processes(self) -> Generator[dict[str, Tensor], None, None]:
        from torch.utils.data import DataLoader

        loader: DataLoader[dict[str, Tensor]] = DataLoader(
            _Made(self._make),  # type: ignore[arg-type]  # anything that can be indexed
            batch_sampler=self._indices(),
            num_workers=self._workers,
            collate_fn=_stacked,
            prefetch_factor=self._ahead,
            worker_init_fn=_one_thread,
            pin_memory=self._pin,
            timeout=_PATIENCE,
            multiprocessing_context="fork",  # pictures read so far, and the room for more, are shared
        )
        batches = iter(loader)
        try:
            yield from batches
        finally:
            shutdown = getattr(batches, "_shutdown_workers", None)
            if shutdown is not None:
                shutdown()


class _Made:
    """`make` as PyTorch's DataLoader wants it."""

    def __init__(self, make: Callable[[int], Sample]) -> None:
        self._make = make

    def __getitem__(self, index: int) -> Sample:
        return self._make(index)


def _stacked(samples: list[Sample]) -> dict[str, Tensor]:
    import torch

    return {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}


def _one_thread(_worker: int) -> None:
    """OpenCV's own threads would fight with the other processes, and do not survive a fork."""
    cv2.setNumThreads(0)
