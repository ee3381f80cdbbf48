"""Landmark distance."""

from torch import Tensor


def landmarks(fake: Tensor, real: Tensor) -> Tensor:
    """Mean distance between five landmarks, in percent of the distance of the true eyes' centres: two (N, 5,
    2) as (x, y) in one unit, the eyes first -> (N,). The normalised mean error of Sagonas et al., *300 Faces
    in-the-Wild Challenge*, 2016. NaN where a landmark is NaN, as of a face that was not found."""
    fake, real = fake.double(), real.double()
    eyes = (real[:, 0] - real[:, 1]).norm(dim=1)
    return 100 * (fake - real).norm(dim=2).mean(1) / eyes
