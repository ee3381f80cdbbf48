"""The scene model against bicubic and the published networks on held-out scenes: the tables of its card.

    python benchmarks/scene_model.py --shared ../shared [--ours X2.onnx X1.onnx] [--clean 0.5] [--draws 2]
        [--published general,twin,half,x4plus] [--sheet FILE.png] [--count N]

Held-out scenes of BSDS500 (`scenes`) and ImageNet (`scenes_more`) are shrunken by 2 (area averaging),
degraded, and doubled again; the published x4 networks are reduced by 2 afterwards. Rows: "clean" (shrunken
only), "camera" (blur of 0.9 px, noise of 8 gray levels, JPEG 70), the recipes "first-order", "second-order",
"old-photo". The truth has the tone of the degraded photo, since the model leaves tones alone. PSNR in dB and
SSIM over RGB, 8 bits; LPIPS (SqueezeNet) and NIQE, lower is better. Draw d of picture i has the seed (d, i);
95 % intervals are by bootstrap over pictures. Then cleaning at x1, as it is done to a photo, against the
degraded photo itself, and clean photos, not shrunken, against themselves (60 dB at most), with the worst of
them; then milliseconds for one picture of 256 x 256, through the runtime as users have it and through PyTorch
fp32, in one run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from face_model import interval
from PIL import Image
from torch import Tensor

from revisage.lab.data.pictures import Pictures, find_pictures
from revisage.lab.degrade import RECIPES, apply, tone, zoomed
from revisage.lab.metrics.lpips import open_lpips
from revisage.lab.metrics.niqe import niqe, read_pristine
from revisage.lab.metrics.psnr import psnr
from revisage.lab.metrics.ssim import ssim
from revisage.lab.metrics.weights import locate
from revisage.lab.networks.compact import with_weights
from revisage.lab.networks.rrdb import RRDBConfig, RRDBNet
from revisage.lab.train.scenes import camera
from revisage.options import Settings
from revisage.restore.models import InstalledModels
from revisage.restore.sparing import spare
from revisage.runtime import open_session
from revisage.zoo import checkpoints

KINDS = ("clean", "camera", "first-order", "second-order", "old-photo")
EQUAL = 60.0  # dB at most, or equal pictures would have no mean
MULTIPLE = 16  # of a truth's sides, so that networks that want multiples of 8 take its half
METRICS = ("PSNR dB", "SSIM", "LPIPS", "NIQE")
DIGITS = (2, 3, 3, 2)
PUBLISHED = {
    "general": ("realesr-general-x4v3.param", None),
    "twin": ("realesr-general-wdn-x4v3.param", None),
    "half": ("realesr-general-x4v3.param", "realesr-general-wdn-x4v3.param"),
    "x4plus": ("RealESRGAN_x4plus.param", None),
}
SHEET = 320  # side of a picture on the sheet

Method = Callable[[np.ndarray], np.ndarray]
"""(h, w, 3) float32 in [0, 1] -> (2 h, 2 w, 3)."""


def bytes_of(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)


def eight_bits(picture: np.ndarray) -> np.ndarray:
    return bytes_of(picture).astype(np.float32) / 255


def case(picture: np.ndarray, name: str, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 -> the degraded picture at half its size and the truth."""
    clean = picture.astype(np.float32) / 255
    clean = clean[: clean.shape[0] // MULTIPLE * MULTIPLE, : clean.shape[1] // MULTIPLE * MULTIPLE]
    small = cv2.resize(clean, (clean.shape[1] // 2, clean.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if name == "clean":
        return eight_bits(small), clean
    if name == "camera":
        return eight_bits(apply(small, camera(seed[0] * 1000 + seed[1]))), clean
    chain = zoomed(RECIPES[name].sample(np.random.default_rng(seed)), 2)
    return eight_bits(apply(small, chain)), eight_bits(apply(clean, tone(chain)))


def tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(eight_bits(picture).transpose(2, 0, 1)[None]))


def batch(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None])


def halved(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (picture.shape[1] // 2, picture.shape[0] // 2), interpolation=cv2.INTER_AREA)


def mixed(first: Path, second: Path | None) -> torch.nn.Module:
    """A published network, or the mean of two by weight."""
    states = [checkpoints.read(path) for path in (first, second) if path is not None]
    state = {key: torch.from_numpy(np.mean([s[key] for s in states], 0)) for key in states[0]}
    if "conv_first.weight" not in state:
        return with_weights(state)
    network = RRDBNet(RRDBConfig(4)).eval()
    network.load_state_dict(state)
    return network


def through_runtime(network: torch.nn.Module, folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    from revisage.lab.export import export
    from revisage.zoo import Contract

    file = folder / f"{len(list(folder.iterdir()))}.onnx"
    contract = Contract(name="published", task="scene", size=None, scale=4, version="1", licence="theirs")
    export(network, file, contract=contract, example_size=(32, 32), half=False)
    return open_session(file, device="cpu").run


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def spread(values: np.ndarray, digits: int) -> str:
    """Mean and interval."""
    low, high = interval(values)
    return f"{values.mean():.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def milliseconds(work: Callable[[], object], runs: int = 5) -> float:
    work()
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--ours", type=Path, nargs=2, help="files of the x2 and the x1 model")
    parser.add_argument("--clean", type=float, default=0.5, help="the strength")
    parser.add_argument("--published", default="general,twin,half", help=", ".join(PUBLISHED))
    parser.add_argument("--models", type=Path, help="folder of the published files, if not in shared")
    parser.add_argument("--draws", type=int, default=2, help="degradations of each picture")
    parser.add_argument("--count", type=int, help="pictures used; all held-out ones if not given")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument(
        "--sheet", type=Path, help="write input, bicubic, every method and truth as a picture"
    )
    options = parser.parse_args()
    if options.ours:
        sessions = {
            scale: open_session(path, device="cpu") for scale, path in zip((2, 1), options.ours, strict=True)
        }
        from revisage.restore.models import AtStrength

        ours = {scale: AtStrength(session, options.clean).run for scale, session in sessions.items()}
    else:
        scene = InstalledModels(Settings(device="cpu")).scene()
        assert scene is not None
        ours = {scale: scene.for_photo(scale, options.clean).session.run for scale in (2, 1)}
    paths = [
        p for f in ("scenes", "scenes_more") for p in find_pictures(options.shared / "data" / f, held=True)
    ]
    held = Pictures(paths[:: max(1, len(paths) // options.count)] if options.count else paths)
    lpips = open_lpips("squeeze", options.shared / "models" / "squeezenet1_1.npz")
    pristine = read_pristine(locate("niqe", "niqe", options.shared / "models"))
    methods: dict[str, Method] = {
        "bicubic": lambda low: cv2.resize(low, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
        "model": lambda low: ours[2](batch(low))[0].transpose(1, 2, 0),
    }
    networks = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in filter(None, options.published.split(",")):
            first, second = (
                (options.models or options.shared / "models") / f if f else None for f in PUBLISHED[name]
            )
            assert first is not None
            networks[name] = mixed(first, second)
            run = through_runtime(networks[name], Path(folder))
            methods[name] = lambda low, run=run: halved(run(batch(low))[0].transpose(1, 2, 0))
        tables(options, held, methods, ours, (lpips, pristine))
        times(methods, ours, networks)


@torch.no_grad()
def tables(options, held, methods, ours, measures) -> None:  # type: ignore[no-untyped-def]
    lpips, pristine = measures

    def figures(picture: np.ndarray, truth: Tensor) -> list[float]:
        fake = tensor(picture)
        return [min(float(measure(fake, truth)), EQUAL) for measure in (psnr, ssim, lpips)]

    names, sheet = options.kinds.split(","), []
    results = {key: np.zeros((len(held), len(METRICS))) for key in product(names, methods)}
    same = {key: np.zeros((len(held), 3)) for key in product(names, ("the photo", "model"))}
    for name, i in product(names, range(len(held))):
        draws = 1 if name == "clean" else options.draws
        for draw in range(draws):
            low, truth = case(held[i], name, (draw, i))
            outputs = {method: make(low) for method, make in methods.items()}
            for method, output in outputs.items():
                natural = float(niqe(tensor(output), pristine))
                results[name, method][i] += np.array([*figures(output, tensor(truth)), natural]) / draws
            photo, aim = (truth, tensor(truth)) if name == "clean" else (low, tensor(halved(truth)))
            cleaned = bytes_of(ours[1](batch(photo))[0].transpose(1, 2, 0))
            spare(cleaned, bytes_of(photo), options.clean)
            for method, output in (("the photo", photo), ("model", cleaned / np.float32(255))):
                same[name, method][i] += np.array(figures(output, aim)) / draws
            if draw == 0 and i % 8 == 0:
                cells = [low.repeat(2, 0).repeat(2, 1), *outputs.values(), truth]
                sheet.append(np.concatenate([eight_bits(c)[:SHEET, :SHEET] for c in cells], axis=1))
    print(f"{len(held)} scenes, {options.draws} draws each, clean {options.clean}\n")
    print(row(["degradation", "", *METRICS, "gain dB"]) + f"\n|{'---|' * (len(METRICS) + 3)}")
    for (name, method), values in results.items():
        gain = values[:, 0] - results[name, "bicubic"][:, 0]
        cells = [spread(column, digits) for column, digits in zip(values.T, DIGITS, strict=True)]
        print(row([name, method, *cells, spread(gain, 2)]))
    print("\nAt x1:\n\n" + row(["degradation", "", *METRICS[:3], "worst dB"]) + f"\n|{'---|' * 6}")
    for (name, method), values in same.items():
        if (name, method) != ("clean", "the photo"):  # equal
            cells = [spread(column, digits) for column, digits in zip(values.T, DIGITS, strict=False)]
            print(row([name, method, *cells, f"{values[:, 0].min():.2f}"]))
    if options.sheet:
        width = max(part.shape[1] for part in sheet)
        filled = [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0))) for s in sheet]
        Image.fromarray(np.rint(np.concatenate(filled) * 255).astype(np.uint8)).save(options.sheet)


@torch.no_grad()
def times(methods, ours, networks) -> None:  # type: ignore[no-untyped-def]
    picture = np.random.default_rng(0).random((256, 256, 3), dtype=np.float32)
    print("\n" + row(["method", "ms in our runtime", "ms in PyTorch fp32"]) + "\n|---|---|---|")
    print(row(["model x1", f"{milliseconds(lambda: ours[1](batch(picture))):.0f}", ""]))
    for name, method in methods.items():
        plain = ""
        if name in networks:
            x = torch.from_numpy(batch(picture)).contiguous(memory_format=torch.channels_last)
            network = networks[name].to(memory_format=torch.channels_last)
            plain = f"{milliseconds(lambda network=network, x=x: network(x)):.0f}"
        print(row([name, f"{milliseconds(lambda method=method: method(picture)):.0f}", plain]))


if __name__ == "__main__":
    main()
