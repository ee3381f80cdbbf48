"""The face detector: a small one-stage network in the layout that OpenCV's `FaceDetectorYN` reads.

After YuNet (Wu, Peng and Yu, *YuNet: A Tiny Millisecond-level Face Detector*, Machine Intelligence Research
2023): depthwise-separable blocks, a top-down pyramid over strides 8, 16 and 32, one anchor-free prediction
per cell. Wider than YuNet and with residual blocks, because old photos are harder than new ones.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Conv2dNormActivation

from revisage.faces.network import CHANNELS, STRIDES

OUTPUT_NAMES = tuple(f"{kind}_{stride}" for kind in CHANNELS for stride in STRIDES)


@dataclass(frozen=True)
class DetectorConfig:
    """Widths and depths: `widths` are the channels at strides 2, 4, 8, 16 and 32."""

    widths: tuple[int, int, int, int, int] = (16, 40, 80, 128, 160)
    depths: tuple[int, int, int, int] = (1, 3, 4, 3)
    pyramid: int = 80


class Separable(nn.Module):
    """Depthwise then pointwise convolution, each with batch norm; residual where the shape allows."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.depthwise_norm(self.depthwise(x)))
        y = self.pointwise_norm(self.pointwise(y))
        return F.relu(x + y if self.residual else y)


class Head(nn.Module):
    """One level's predictions: a shared block, then one separable convolution to 16 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shared = Separable(channels, channels)
        self.depthwise = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.predict = nn.Conv2d(channels, sum(CHANNELS.values()), 1)
        nn.init.normal_(self.predict.weight, std=0.01)
        # Nearly every cell is empty: start from a score of 2 % (focal loss paper, section 3.3).
        self.predict.bias = nn.Parameter(torch.tensor([-4.0] * 2 + [0.0] * 14))

    def forward(self, x: Tensor) -> Tensor:
        return self.predict(F.relu(self.norm(self.depthwise(self.shared(x)))))


class DetectorNetwork(nn.Module):
    """(N, 3, H, W) BGR in [0, 255], H and W multiples of 32, to twelve outputs in `OUTPUT_NAMES` order.

    Each output is (N, cells, channels) with the cells of one stride in row order. `cls` and `obj` are
    probabilities, the score of a cell being the square root of their product; `bbox` is (dx, dy, log w,
    log h) and `kps` five (dx, dy), all in units of the stride and relative to the cell's top left corner.
    """

    def __init__(self, config: DetectorConfig | None = None) -> None:
        super().__init__()
        self.config = config or DetectorConfig()
        w2, w4, w8, w16, w32 = self.config.widths
        d4, d8, d16, d32 = self.config.depths
        self.stem = nn.Sequential(*Conv2dNormActivation(3, w2, 3, 2, inplace=False), _stage(w2, w4, d4))
        self.stages = nn.ModuleList([_stage(w4, w8, d8), _stage(w8, w16, d16), _stage(w16, w32, d32, 5)])
        width = self.config.pyramid
        lateral = partial(Conv2dNormActivation, out_channels=width, kernel_size=1, activation_layer=None)
        self.laterals = nn.ModuleList(map(lateral, (w8, w16, w32)))
        self.heads = nn.ModuleList([Head(width) for _ in STRIDES])

    def raw(self, image: Tensor) -> list[Tensor]:
        """Per stride (N, 16, H/stride, W/stride): logits of cls and obj, then bbox and kps; for training."""
        x = self.stem((image - 127.5) * (1 / 64))
        features = []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            x = stage(x)
            features.append(lateral(x))
        top = F.relu(features[2])
        middle = F.relu(features[1] + F.interpolate(top, scale_factor=2.0, mode="nearest"))
        fine = F.relu(features[0] + F.interpolate(middle, scale_factor=2.0, mode="nearest"))
        return [head(level) for head, level in zip(self.heads, (fine, middle, top), strict=True)]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        levels = [torch.split(level, list(CHANNELS.values()), dim=1) for level in self.raw(image)]
        outputs = []
        for index, (kind, channels) in enumerate(CHANNELS.items()):
            for level in levels:
                values = level[index].permute(0, 2, 3, 1).reshape(image.shape[0], -1, channels)
                outputs.append(values.sigmoid() if kind in {"cls", "obj"} else values)
        return tuple(outputs)


def _stage(inputs: int, outputs: int, depth: int, kernel: int = 3) -> nn.Sequential:
    """One halving block and `depth` residual ones."""
    first = Separable(inputs, outputs, stride=2)
    return nn.Sequential(first, *[Separable(outputs, outputs, kernel=kernel) for _ in range(depth)])
