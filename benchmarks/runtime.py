"""Seconds per run of one network in PyTorch, ONNX Runtime and OpenVINO, and their ratios.

    python benchmarks/runtime.py [--network conv|face|scene|rrdb] [--rounds 15] [--threads N] [--batch 1]

All take turns within each round, so that drift meets all of them alike. On a busy machine give `--threads 1`:
with more, PyTorch waits at every layer for whichever thread was interrupted, and the ratios flatter the
others; and read the ratio of CPU time, which other programs' share of the machine changes little. Weights
are random; speed does not depend on them.
"""

from __future__ import annotations

import argparse
import copy
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from revisage.errors import RuntimeUnavailableError
from revisage.lab.export import export
from revisage.lab.networks.gfpgan import CLEAR_256, GFPGAN, UnitRange
from revisage.lab.networks.rrdb import RRDBConfig, RRDBNet
from revisage.lab.networks.scene import SCENE, OneScale, Scene
from revisage.runtime.onnxruntime import OnnxRuntimeSession
from revisage.runtime.openvino import OpenVinoSession
from revisage.zoo import Contract

WARM_UP = 3
BASE = "PyTorch fp32"


def conv_stack() -> nn.Module:
    """Eight 3x3 convolutions of 64 features: nothing that one library could be clever about."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1)]
    for _ in range(6):
        layers += [nn.LeakyReLU(0.2), nn.Conv2d(64, 64, 3, padding=1)]
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.Conv2d(64, 3, 3, padding=1))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int | None, int]] = {
    # builder, the contract's size, side of the picture it is timed on
    "conv": (conv_stack, None, 256),
    "face": (lambda: UnitRange(GFPGAN(CLEAR_256)), 256, 256),
    "scene": (lambda: OneScale(Scene(SCENE), 2), None, 400),
    "rrdb": (lambda: RRDBNet(RRDBConfig(scale=2)), None, 400),  # the sizes of RealESRGAN_x2plus
}


def runners(
    network: nn.Module, path: Path, batch: np.ndarray, threads: int | None
) -> dict[str, Callable[[], object]]:
    """One call without arguments for each way to run the network; those that this CPU lacks are left out."""
    plain = torch.from_numpy(batch)
    wide = plain.to(memory_format=torch.channels_last)
    fast = copy.deepcopy(network).to(memory_format=torch.channels_last)

    def torch_fp32() -> None:
        with torch.inference_mode():
            network(plain)

    def torch_bf16() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            fast(wide)

    onnx = OnnxRuntimeSession(path, device="cpu", threads=threads)
    ways: dict[str, Callable[[], object]] = {
        BASE: torch_fp32,
        "PyTorch bf16": torch_bf16,
        "ONNX Runtime fp32": lambda: onnx.run(batch),
    }
    for precision in ("fp32", "bf16"):
        try:
            session = OpenVinoSession(path, precision=precision, threads=threads)
        except RuntimeUnavailableError:
            continue
        ways[f"OpenVINO {precision}"] = lambda session=session: session.run(batch)
    return ways


def measure(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """(rounds, 2) seconds per way after the warm-up: by the clock, and of CPU time over all threads."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(WARM_UP + rounds):
        for name, run in ways.items():
            start, used = time.perf_counter(), time.process_time()
            run()
            seconds[name].append((time.perf_counter() - start, time.process_time() - used))
    return {name: np.array(values[WARM_UP:]) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=list(NETWORKS), default="face")
    parser.add_argument("--rounds", type=int, default=15, help=f"timed rounds, after {WARM_UP} to warm up")
    parser.add_argument("--threads", type=int, help="threads for every library; its own choice if not given")
    parser.add_argument("--batch", type=int, default=1, help="pictures per run")
    options = parser.parse_args()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    build, size, side = NETWORKS[options.network]
    network = build().eval().requires_grad_(False)
    channels = 4 if options.network == "scene" else 3
    batch = np.random.default_rng(0).random((options.batch, channels, side, side), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        contract = Contract(
            "benchmark",
            "face" if size else "scene",
            size,
            1,
            "0",
            "none",
            control="clean" if channels == 4 else "none",
        )
        parity = export(network, path, contract=contract, example_size=(size or 64, size or 64))
        seconds = measure(runners(network, path, batch, options.threads), options.rounds)
        mebibytes = path.stat().st_size / 2**20
    print(
        f"{options.network}, batch {tuple(batch.shape)}, {mebibytes:.1f} MiB, export differs by "
        f"{parity.max_abs:.1g}; {options.rounds} rounds, {options.threads or 'default'} threads; Python "
        f"{platform.python_version()}, torch {torch.__version__}, OpenVINO {version('openvino')}"
    )
    print(f"{'':18}{'median':>10}{'min':>10}{'max':>10}{'time / ' + BASE:>22}{'CPU time / ' + BASE:>26}")
    for name, values in seconds.items():
        clock = values[:, 0]
        ratio, used = np.median(values / seconds[BASE], axis=0)  # of pairs within a round, then the median
        print(
            f"{name:18}{np.median(clock):9.4f}s{clock.min():9.4f}s{clock.max():9.4f}s{ratio:21.2f}x{used:25.2f}x"
        )


if __name__ == "__main__":
    main()
