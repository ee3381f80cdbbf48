"""Training pairs that are degraded once and used several times."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from revisage.lab.data.loader import Sample
from revisage.lab.data.pictures import shuffled


class Pool:
    """Which degraded pair a sample takes, and those pairs while they are needed.

    A block of `size` samples shares size / `reuse` pairs in random order, and each use takes another patch:
    degrading costs a CPU as much as a step of a small network (such a pool have Wang et al., *Real-ESRGAN*,
    ICCVW 2021, §4.1). Its number alone decides a sample's pair: resumed trainings agree.
    """

    def __init__(self, make: Callable[[int], Sample], *, size: int, reuse: int, seed: int) -> None:
        if size < 1 or reuse < 1 or size % reuse:
            raise ValueError(f"size must be a multiple of reuse, both at least 1; got {size} and {reuse}")
        self.size, self.reuse, self.seed = size, reuse, seed
        self._make = make
        self._pairs: OrderedDict[int, Sample] = OrderedDict()
        self._lock = Lock()

    def number(self, index: int) -> int:
        """The pair of sample `index`."""
        first = index // self.size * (self.size // self.reuse)  # of the block
        return first + shuffled(index, self.size, self.seed) // self.reuse

    def __getitem__(self, index: int) -> Sample:
        """The pair of sample `index`; not to be written to. Two threads may make the same pair twice."""
        number = self.number(index)
        with self._lock:
            pair = self._pairs.get(number)
        if pair is None:
            pair = self._make(number)
            with self._lock:
                self._pairs[number] = pair
                # Samples are made ahead, so the block before may still be in use.
                while len(self._pairs) > 2 * self.size // self.reuse:
                    self._pairs.popitem(last=False)
        return pair
