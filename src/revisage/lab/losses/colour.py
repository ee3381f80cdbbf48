"""The difference of two colours as people see it, with a gradient."""

import torch
from torch import Tensor

# IEC 61966-2-1: linear sRGB to XYZ, each row divided by the white point's (D65).
_XYZ = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0178, 0.1095, 0.8727))


def lab(srgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """sRGB (N, 3, H, W) in [0, 1] -> CIE L*, a* and b*, (N, H, W) each."""
    linear = torch.where(srgb > 0.04045, ((srgb.clamp_min(0.04) + 0.055) / 1.055) ** 2.4, srgb / 12.92)
    xyz = torch.einsum("ij,njhw->nihw", linear.new_tensor(_XYZ), linear)
    roots = torch.where(xyz > 216 / 24389, xyz.clamp_min(0.008) ** (1 / 3), (24389 / 27 * xyz + 16) / 116)
    x, y, z = roots.unbind(1)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede94(fake: Tensor, real: Tensor) -> Tensor:
    """CIE94 for graphic arts (CIE 116-1995) of sRGB (N, 3, H, W) in [0, 1] to a reference -> (N, H, W)."""
    with torch.autocast(fake.device.type, enabled=False):
        (light, a, b), (light2, a2, b2) = lab(fake.float()), lab(real.float())
        chroma, chroma2 = (torch.sqrt(x * x + y * y + 1e-4) for x, y in ((a, b), (a2, b2)))
        across = (chroma - chroma2) ** 2
        around = ((a - a2) ** 2 + (b - b2) ** 2 - across).clamp_min(0)
        across, around = across / (1 + 0.045 * chroma2) ** 2, around / (1 + 0.015 * chroma2) ** 2
        return torch.sqrt((light - light2) ** 2 + across + around + 1e-4)
