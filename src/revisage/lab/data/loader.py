"""Samples by index -> batches, prepared ahead by threads or processes, in the order of the indices."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field
from itertools import count

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from revisage.errors import PictureError

Sample = dict[str, np.ndarray]
_PATIENCE = 600  # seconds that a process may take for a batch


@dataclass
class Loader:
    """Endless batches of `make(index)` for index = 0, 1, ..., as tensors.

    Threads suffice for a CPU: decoding, warping and filtering release the interpreter lock, and nothing is
    copied between processes. A GPU takes more than one interpreter can make; then `workers` are processes.
    `make` must draw everything from its index, so that batch k is the same in any run and with any number of
    workers, which is what makes a resumed training equal an uninterrupted one.
    """

    make: Callable[[int], Sample]
    _: KW_ONLY
    batch: int
    workers: int = 1
    ahead: int = 3
    """Batches made ahead, of each process where there are `processes`."""
    processes: bool = False
    pin: bool = False
    """Whether batches of processes lie in memory that a GPU reads from while it computes."""
    waited: float = field(default=0.0, init=False)
    """Seconds the consumer has waited for data so far."""

    def __post_init__(self) -> None:
        if self.batch < 1 or self.workers < 1 or self.ahead < 1:
            raise ValueError("batch, workers and ahead must be at least 1")

    def __iter__(self) -> Generator[dict[str, Tensor], None, None]:
        """Raises in the consumer what `make` raises. Closing the generator drops the batches made ahead."""
        made = self._by_processes() if self.processes else self._by_threads()
        with closing(made):
            while True:
                begun = time.perf_counter()
                batch = next(made)
                self.waited += time.perf_counter() - begun
                yield batch

    def __getitem__(self, index: int) -> Sample:
        """One sample, as PyTorch's DataLoader asks for it."""
        return self.make(index)

    def _indices(self) -> Iterator[list[int]]:
        for first in count(0, self.batch):
            yield list(range(first, first + self.batch))

    def _by_threads(self) -> Generator[dict[str, Tensor], None, None]:
        indices, queue = self._indices(), deque[list[Future[Sample]]]()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="data")
        try:
            while True:
                while len(queue) < self.ahead:
                    queue.append([pool.submit(self.make, index) for index in next(indices)])
                yield _stacked([future.result() for future in queue.popleft()])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _by_processes(self) -> Generator[dict[str, Tensor], None, None]:
        loader: DataLoader[dict[str, Tensor]] = DataLoader(
            self,  # type: ignore[arg-type]  # anything that can be indexed
            batch_sampler=self._indices(),
            num_workers=self.workers,
            collate_fn=_stacked,
            prefetch_factor=self.ahead,
            worker_init_fn=_one_thread,
            pin_memory=self.pin,
            timeout=_PATIENCE,
            multiprocessing_context="fork",  # pictures read so far, and the room for more, are shared
        )
        batches = iter(loader)
        try:
            yield from batches
        except PictureError as error:  # with the traceback of the process as its text
            raise PictureError(str(error).strip().splitlines()[-1].partition(": ")[2]) from None
        finally:
            batches._shutdown_workers()  # type: ignore[attr-defined]  # there are workers


def _stacked(samples: list[Sample]) -> dict[str, Tensor]:
    return {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}


def _one_thread(_worker: int) -> None:
    """OpenCV's own threads would fight with the other processes, and do not survive a fork."""
    cv2.setNumThreads(0)
