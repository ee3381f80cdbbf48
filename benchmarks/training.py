"""How fast a face model trains, and how much of this machine that uses.

    python benchmarks/training.py --data ../shared/data/faces256 [--preset compact-256] [--steps 24]
                                  [--threads N] [--set key=value ...]

Prints images/s, FLOP/s (counted by PyTorch over all phases of a step) as a share of the rate of a bf16 matrix
product of 4096 x 4096 measured between the steps of the same run, the share of time spent waiting for data,
and what each phase takes. The embedding of the identity loss is left out unless `identity_weights` is set.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from revisage.cli.train import override
from revisage.lab.data.loader import Loader
from revisage.lab.train import presets
from revisage.lab.train.distributed import init_distributed
from revisage.lab.train.loop import step
from revisage.lab.train.state import State

WARM_UP = 3
SIDE = 4096


class Flops(TorchDispatchMode):
    """Multiplications and additions by PyTorch's table; its own counter fails on a gradient penalty."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def matrix_rate() -> float:
    """FLOP/s of one bf16 matrix product."""
    a = torch.randn(SIDE, SIDE).bfloat16()
    begun = time.perf_counter()
    a @ a
    return 2 * SIDE**3 / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description="speed of a training")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--system", default="gfpgan")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    preset = presets.choose(options.system, options.preset)
    changes = dict(pair.split("=", 1) for pair in options.set)
    settings, task_settings = (override(s, changes) for s in (preset.loop, preset.task(options.data)))
    task, spread = preset.make(task_settings), init_distributed(settings.device)
    state, phases = State.fresh(task, settings, spread.device), task.phases()
    loader = Loader(task.sample, batch=settings.batch, workers=settings.loaders, processes=settings.processes)
    spans: dict[str, list[float]] = defaultdict(list)
    steps, rates, flops = [], [], []
    waited = 0.0
    with closing(iter(loader)) as batches:
        for number in range(WARM_UP + options.steps):
            if number == WARM_UP:
                spans.clear()
            waiting, begun = loader.waited, time.perf_counter()
            batch = {key: value.to(spread.device) for key, value in next(batches).items()}
            due = [p for p in phases if number % p.interval == 0]
            counter = Flops() if number < WARM_UP else None
            with counter or nullcontext():
                for phase in due:
                    start = time.perf_counter()
                    step(phase, state, batch, settings, spread)
                    spans[phase.name].append(time.perf_counter() - start)
            state.ema.update(task.networks[task.averaged], settings.batch, number * settings.batch)
            if counter is not None:
                flops.append(counter.total)  # of step 0 with the lazy phases, of step 1 without
                continue
            steps.append(time.perf_counter() - begun)
            waited += loader.waited - waiting
            rates.append(matrix_rate())
    lazy = max(p.interval for p in phases)
    work, span, rate = (
        flops[1] + (flops[0] - flops[1]) / lazy,
        statistics.mean(steps),
        statistics.median(rates),
    )
    print(f"{preset.name}, batch {settings.batch}, {settings.precision}, {options.threads} threads")
    print(f"{settings.batch / span:.2f} images/s, {work / settings.batch / 1e9:.1f} GFLOP an image")
    print(
        f"{work / span / 1e9:.0f} GFLOP/s; matrix product {rate / 1e9:.0f} GFLOP/s: {work / span / rate:.0%}"
    )
    print(f"waiting for data {waited / sum(steps):.1%}")
    for name, values in spans.items():
        print(f"  {name}: {statistics.median(values):.3f} s")


if __name__ == "__main__":
    main()
