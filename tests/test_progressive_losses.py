"""The losses of the progressive GAN against hand-computed values, and their schedule."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from revisage.lab.losses.adversarial import gradient_penalty, wasserstein_critic, wasserstein_generator  # noqa: E402
from revisage.lab.losses.attention import attention, gaussian_kernel, heat_map  # noqa: E402
from revisage.lab.networks.progressive import Critic  # noqa: E402
from revisage.lab.train.tasks.progressive import Schedule  # noqa: E402


def test_wasserstein_is_the_difference_of_means() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.5, -1.5])
    assert wasserstein_critic(real, fake).item() == -2.5
    assert wasserstein_generator(fake).item() == 0.5


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_known(slope: float) -> None:
    """D(x) = w x has the gradient w everywhere, so that the penalty is (|w| - 1)²."""
    weight = torch.randn(3 * 8 * 8, generator=torch.Generator().manual_seed(0))
    weight = weight / weight.norm() * slope
    real, fake = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)
    penalty = gradient_penalty(lambda x: x.flatten(1) @ weight, real, fake)
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-5)


def test_the_penalty_of_a_quadratic_critic_is_that_between_real_and_fake() -> None:
    """D(x) = |x|²/2 has the gradient x: between y = 0 and G = (2, 0) its length is 2 (1 - e), e ~ U(0, 1),
    and the mean of (2 (1 - e) - 1)² is 1/3."""
    torch.manual_seed(0)
    real, fake = torch.zeros(20_000, 2), torch.tensor([[2.0, 0.0]]).expand(20_000, 2)
    penalty = gradient_penalty(lambda x: x.square().sum(1) / 2, real, fake)
    assert penalty.item() == pytest.approx(1 / 3, abs=0.01)


def test_the_penalty_has_a_second_derivative() -> None:
    """For D(x) = w x, d(|w| - 1)²/dw = 2 (|w| - 1) w / |w|."""
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    gradient_penalty(lambda x: x @ weight, torch.rand(5, 2), torch.rand(5, 2)).backward()
    torch.testing.assert_close(weight.grad, torch.tensor([2 * 4 * 0.6, 2 * 4 * 0.8]))


def scaled(critic: nn.Module, factor: float) -> nn.Module:
    for parameter in critic.parameters():
        parameter.data *= factor
    return critic


@pytest.mark.parametrize("factor", [0.0, 1e-4, 1.0, 30.0])
def test_the_penalty_stays_finite_and_in_float32_under_autocast(factor: float) -> None:
    """With a critic that is zero everywhere too, where the norm has no slope."""
    torch.manual_seed(0)
    critic = scaled(Critic((8, 8, 8, 8, 8)), factor)
    real, fake = torch.rand(3, 3, 128, 128) * 2 - 1, torch.rand(3, 3, 128, 128) * 2 - 1
    seen = []

    def scores(x: Tensor) -> Tensor:
        seen.append((x.dtype, torch.is_autocast_enabled("cpu")))
        return critic(x, 3)

    with torch.autocast("cpu", torch.bfloat16):
        penalty = gradient_penalty(scores, real.bfloat16(), fake.bfloat16())
    assert seen == [(torch.float32, False)]
    assert penalty.dtype == torch.float32
    penalty.backward()
    assert torch.isfinite(penalty)
    for parameter in critic.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


def test_the_critic_comes_to_the_slope_that_the_penalty_allows() -> None:
    """Black and white at 32 px are d = 2 sqrt(3 x 32 x 32) apart: slope n gains n d and costs 10 (n - 1)²,
    which is best at n = 1 + d / 20."""
    torch.manual_seed(0)
    critic = Critic((8, 8, 16, 16, 16))
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.9))
    real, fake = torch.ones(4, 3, 32, 32), -torch.ones(4, 3, 32, 32)
    for _ in range(200):
        with torch.autocast("cpu", torch.bfloat16):
            loss = wasserstein_critic(critic(real, 1), critic(fake, 1))
            loss = loss + 10 * gradient_penalty(lambda x: critic(x, 1), real, fake)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    distance = 2 * math.sqrt(3 * 32 * 32)
    found = -wasserstein_critic(critic(real, 1), critic(fake, 1)).item()
    best = distance * (1 + distance / 20)
    assert 0.6 * best < found < 1.2 * best


def test_the_kernel_is_a_gaussian_that_sums_to_one() -> None:
    kernel = gaussian_kernel()
    assert kernel.shape == (5, 5)
    assert kernel.sum().item() == pytest.approx(1)
    assert (kernel[2, 3] / kernel[2, 2]).item() == pytest.approx(math.exp(-0.5))
    assert (kernel[0, 0] / kernel[2, 2]).item() == pytest.approx(math.exp(-4))
    torch.testing.assert_close(kernel, kernel.T.flip(0))


def test_attention_by_hand() -> None:
    """One landmark at (4, 2): an error of 1 there counts h[2, 2], one of 3 a pixel to the right 3 h[2, 3]."""
    real, fake = torch.zeros(1, 3, 9, 9), torch.zeros(1, 3, 9, 9)
    fake[0, :, 2, 4] = 1
    fake[0, 0, 2, 5] = -9  # over the three channels 3
    fake[0, :, 8, 8] = 100  # too far away to count
    h = gaussian_kernel()
    wanted = (h[2, 2] + 3 * h[2, 3]).item()
    points = torch.tensor([[[4.3, 1.6]]])
    assert attention(fake, real, points).item() == pytest.approx(wanted)
    two = torch.tensor([[[4.3, 1.6], [4.0, 2.0]]])  # the mean over landmarks
    assert attention(fake, real, two).item() == pytest.approx(wanted)


def test_attention_of_an_even_error_is_that_error() -> None:
    real = torch.zeros(2, 3, 64, 64)
    points = torch.rand(2, 68, 2) * 40 + 10
    assert attention(real + 0.25, real, points).item() == pytest.approx(0.25, abs=1e-6)


def test_landmarks_outside_or_unknown_do_not_count() -> None:
    real = torch.zeros(2, 3, 16, 16)
    points = torch.full((2, 68, 2), torch.nan)
    assert attention(real + 1, real, points).item() == 0
    points[:] = 100.0
    points[0, 0] = 8.0
    assert attention(real + 1, real, points).item() == pytest.approx(1 / (2 * 68))


def test_the_border_cuts_the_gaussian() -> None:
    corner = heat_map(torch.zeros(1, 1, 2), 8)
    torch.testing.assert_close(corner[0, 0, :3, :3], gaussian_kernel()[2:, 2:])
    assert corner[0, 0, 3:].sum() == 0


@given(
    start=st.floats(0, 100),
    growth=st.floats(0, 10),
    room=st.none() | st.floats(0, 50),
    epoch=st.floats(0, 200),
)
def test_a_weight_never_falls_and_grows_at_most_linearly(
    start: float, growth: float, room: float | None, epoch: float
) -> None:
    schedule = Schedule(start, growth, None if room is None else start + room)
    values = [schedule.at(e) for e in (0.0, epoch, epoch + 1)]
    assert values[0] == start
    assert values[1] <= values[2] <= values[1] + growth + 1e-9
    assert room is None or values[2] <= start + room
    assert schedule.ever == (start > 0 or growth > 0)


def test_a_schedule_can_be_plotted() -> None:
    drawn = [Schedule(1.0, 0.5, 2.0).at(epoch) for epoch in np.arange(0, 4, 0.5)]
    assert drawn == [1.0, 1.25, 1.5, 1.75, 2.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [((-1.0,), "starts at 0"), ((1.0, -0.1), "does not fall"), ((1.0, 0.1, 0.5), "below its start")],
)
def test_a_schedule_that_cannot_be_is_refused(numbers: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(*numbers)
