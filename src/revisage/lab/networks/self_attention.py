"""Attention over the places of a feature map."""

import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Every place looks at all others; (N, C, H, W) -> the same shape.

    Vaswani et al., *Attention Is All You Need*, NIPS 2017, §3.2, over the places of a feature map.
    """

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, channels)
        self.project = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        split = self.project(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w)
        query, key, value = split.transpose(3, 4).unbind(1)
        seen = F.scaled_dot_product_attention(query, key, value)
        y: Tensor = self.out(seen.transpose(2, 3).reshape(n, c, h, w))
        return x + y
