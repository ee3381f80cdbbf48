"""Losses against values worked out by hand, and which way their gradients push."""

import math
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402

from revisage.lab.filters import SOFT, separable, smoothed  # noqa: E402
from revisage.lab.losses.detection import box_iou_distance, box_smooth_l1, landmark_smooth_l1, quality_focal  # noqa: E402
from revisage.lab.losses.identity import chord, face_features, hint, identity  # noqa: E402
from revisage.lab.losses.pixel import checkerboard, description, half, l1, laplacian, pyramid  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def picture(*values: float) -> Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


def gradient(loss: Tensor, at: Tensor) -> Tensor:
    (slope,) = torch.autograd.grad(loss, at)
    return slope


def test_l1_is_the_mean_absolute_error() -> None:
    assert float(l1(picture(0.0, 1.0, -1.0), picture(0.5, 1.0, 1.0))) == pytest.approx(2.5 / 3)


def test_l1_is_computed_in_float32() -> None:
    fake, real = picture(0.1, 0.2).bfloat16(), picture(0.1, 0.2)
    loss = l1(fake, real)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float((fake.float() - real).abs().mean()))


def test_identity_is_one_minus_the_cosine() -> None:
    real = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    fake = torch.tensor([[5.0, 0.0], [0.0, 0.1], [-2.0, 0.0]])
    assert float(identity(fake, real)) == pytest.approx((0 + 1 + 2) / 3)
    assert float(identity(torch.tensor([[1.0, 1.0]]), real[:1])) == pytest.approx(1 - math.sqrt(0.5))


@pytest.mark.parametrize("loss", [identity, chord])
def test_identity_turns_but_does_not_stretch(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    fake, real = torch.tensor([[2.0, 1.0]], requires_grad=True), torch.tensor([[1.0, 0.0]])
    slope = gradient(loss(fake, real), fake)
    assert float((slope * fake).sum().detach()) == pytest.approx(0, abs=1e-7)
    assert loss(fake - slope, real) < loss(fake, real)


def test_the_chord_pulls_at_small_angles_as_at_large_ones() -> None:
    real, angles = torch.tensor([[1.0, 0.0]]).expand(3, 2), torch.tensor([1e-3, 0.5, 1.0], requires_grad=True)
    fake = 3 * torch.stack([angles.cos(), angles.sin()], dim=1)
    assert float(chord(fake, real).detach()) == pytest.approx(
        sum(2 * math.sin(a / 2) for a in (1e-3, 0.5, 1.0)) / 3
    )
    slopes = 3 * gradient(chord(fake, real), angles)
    assert slopes.tolist() == pytest.approx([math.cos(a / 2) for a in (1e-3, 0.5, 1.0)], abs=1e-4)
    assert torch.isfinite(gradient(chord(same := real.clone().requires_grad_(), real), same)).all()


def test_a_hint_is_the_share_of_the_features_that_is_missed() -> None:
    wanted = torch.randn(2, 4, 3, 3)
    assert float(hint(wanted, wanted)) == 0
    assert float(hint(torch.zeros_like(wanted), wanted)) == pytest.approx(1)
    assert float(hint(2 * wanted, wanted)) == pytest.approx(1)
    assert float(hint(20 * wanted, 10 * wanted)) == pytest.approx(1), "of any scale alike"
    assert float(hint(wanted, torch.zeros_like(wanted))) < float("inf")


def test_pyramid_compares_each_picture_at_its_own_size() -> None:
    real = torch.tensor([[0.0, 1.0], [1.0, 2.0]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    real = real.expand(2, 3, 4, 4)
    half = torch.tensor([[0.0, 1.0], [1.0, 2.0]]).expand(2, 3, 2, 2)
    whole = torch.full((2, 3, 1, 1), 1.0)  # the mean of all
    assert float(pyramid([whole, half, real], real)) == 0
    assert float(pyramid([whole + 0.5, half - 0.25, real], real)) == pytest.approx(0.75)
    assert float(pyramid([], real)) == 0


def test_checkerboard_sees_only_what_repeats_from_block_to_block() -> None:
    real = torch.rand(1, 3, 32, 32)
    dots = torch.zeros(1, 1, 32, 32)
    dots[..., 1::4, 2::4] = 1  # of 16 pixels; each is 1 above and the others 0 above the mean of a block
    assert float(checkerboard(real + dots, real, 4)) == pytest.approx(15 / 16**2, rel=0.1)
    slope = torch.linspace(0, 1, 32).expand(1, 3, 32, 32)
    assert float(checkerboard(real + 0.3 * slope + 0.2, real, 4)) < 1e-5
    noise = torch.randn(1, 3, 32, 32)
    assert float(checkerboard(real + noise, real, 4)) < 0.15 * float(noise.square().mean())
    far = torch.zeros(1, 1, 32, 32)
    far[..., ::8, ::8] = 1  # at another distance: most of it is averaged away
    assert float(checkerboard(real + far, real, 4)) < 0.3 * float(checkerboard(real + dots, real, 4))


def test_checkerboard_pushes_a_pattern_down() -> None:
    dots = torch.zeros(1, 3, 32, 32)
    dots[..., ::4, ::4] = 0.5
    fake = dots.clone().requires_grad_()
    slope = gradient(checkerboard(fake, torch.zeros(1, 3, 32, 32), 4), fake)
    inside = slope[..., 8:24, 8:24]
    assert (inside[..., ::4, ::4] > 0).all()
    assert inside[..., 2::4, 2::4].max() < 0


@pytest.mark.parametrize(
    "loss",
    [
        l1,
        identity,
        chord,
        lambda fake, real: pyramid([fake[:, :, None, None]], real[:, :, None, None]),
    ],
)
def test_no_loss_for_equal_inputs_and_a_step_down_the_gradient_helps(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    fake, real = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6)
    assert float(loss(real, real)) == pytest.approx(0, abs=1e-6)
    before = loss(fake, real)
    assert before > 0
    assert loss(fake - 0.1 * gradient(before, fake), real) < before


@pytest.mark.parametrize("shrink", [1, 2, 4])
def test_filters_by_a_matrix_are_filters(shrink: int) -> None:
    x = torch.rand(2, 3, 24, 40)
    wanted = F.avg_pool2d(separable(x, torch.tensor(SOFT)), shrink)
    torch.testing.assert_close(smoothed(x, SOFT, shrink), wanted)


def test_the_laplacian_counts_every_band_alike() -> None:
    torch.manual_seed(0)
    real = torch.rand(2, 3, 64, 64)
    assert float(laplacian(real, real)) == 0
    assert float(laplacian(real + 0.25, real)) == pytest.approx(0.25, rel=1e-4)  # what is left alone
    x = torch.arange(64.0)

    def wave(period: float) -> Tensor:
        return real + 0.1 * torch.sin(2 * math.pi * x / period).expand(1, 3, 64, 64)

    fine, coarse = (float(laplacian(wave(period), real)) for period in (3, 24))
    assert fine == pytest.approx(coarse, rel=0.6)
    shift = torch.randn(2, 3, 64, 64)
    assert float(laplacian(real + 2 * shift, real)) == pytest.approx(2 * float(laplacian(real + shift, real)))


def test_face_features_are_shares_of_what_is_there() -> None:
    real = [torch.full((1, 2, 4, 4), 2.0), torch.full((1, 3, 2, 2), -4.0)]
    fake = [torch.full((1, 2, 4, 4), 3.0), torch.full((1, 3, 2, 2), -4.0)]
    assert float(face_features(fake, real)) == pytest.approx((0.5 + 0) / 2)
    assert float(face_features([10 * f for f in fake], [10 * r for r in real])) == pytest.approx(0.25)


def test_a_description_counts_what_was_drawn() -> None:
    said = torch.tensor([[1.0, 5.0], [2.0, 7.0]], requires_grad=True)
    drawn = torch.tensor([[1.0, math.nan], [5.0, math.nan]])
    loss = description(said, drawn)
    assert float(loss.detach()) == pytest.approx((0 + 2.5 + 0 + 0) / 4)  # smooth L1 of 3
    loss.backward()
    assert said.grad is not None
    assert said.grad.tolist() == [[0, 0], [-0.25, 0]]
    assert float(description(said, torch.full((2, 2), math.nan)).detach()) == 0


def test_quality_focal_by_hand() -> None:
    logits, target = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.25])
    # p = 1/2: squared errors 1/4 and 1/16, cross entropy ln 2 whatever the target.
    assert float(quality_focal(logits, target)) == pytest.approx((1 / 4 + 1 / 16) * math.log(2))
    weighted = quality_focal(logits, target, torch.tensor([0.0, 2.0]))
    assert float(weighted) == pytest.approx(2 / 16 * math.log(2))


def test_quality_focal_vanishes_where_the_score_is_right() -> None:
    target = torch.tensor([0.3, 0.9])
    logits = torch.logit(target).requires_grad_()
    assert float(quality_focal(logits, target).detach()) == pytest.approx(0, abs=1e-9)
    low = torch.tensor([-2.0], requires_grad=True)
    assert gradient(quality_focal(low, torch.tensor([0.8])), low) < 0  # downhill is a higher score
    high = torch.tensor([2.0], requires_grad=True)
    assert gradient(quality_focal(high, torch.tensor([0.2])), high) > 0


def box(x: float, y: float, w: float, h: float) -> Tensor:
    return torch.tensor([[x, y, math.log(w), math.log(h)]])


@pytest.mark.parametrize(
    ("predicted", "target", "expected"),
    [
        (box(0, 0, 2, 2), box(0, 0, 2, 2), 0.0),
        # Shifted by half a width: overlap 2, union 6; the hull is 3 x 2, the centres 1 apart.
        (box(1, 0, 2, 2), box(0, 0, 2, 2), 1 - 2 / 6 + 1 / 13),
        # One within the other, same centre.
        (box(0, 0, 2, 2), box(0, 0, 4, 4), 1 - 4 / 16),
        # Apart: the distance alone pulls. Hull 6 x 2, centres 4 apart.
        (box(4, 0, 2, 2), box(0, 0, 2, 2), 1 + 16 / 40),
    ],
)
def test_box_distance_by_hand(predicted: Tensor, target: Tensor, expected: float) -> None:
    assert float(box_iou_distance(predicted, target, torch.ones(1))) == pytest.approx(expected, abs=1e-6)
    assert float(box_iou_distance(predicted, target, torch.tensor([0.5]))) == pytest.approx(
        expected / 2, abs=1e-6
    )


def test_box_distance_pulls_boxes_together_even_when_apart() -> None:
    predicted = box(4, 0, 2, 2).requires_grad_()
    slope = gradient(box_iou_distance(predicted, box(0, 0, 2, 2), torch.ones(1)), predicted)
    assert slope[0, 0] > 0


def test_boxes_of_absurd_size_stay_finite() -> None:
    predicted = torch.tensor([[0.0, 0.0, 200.0, -200.0]], requires_grad=True)
    loss = box_iou_distance(predicted, box(0, 0, 2, 2), torch.ones(1))
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient(loss, predicted)).all()


def test_box_smooth_l1_by_hand() -> None:
    predicted, target = torch.tensor([[0.05, 1.0, 0.0, 0.0]]), torch.zeros(1, 4)
    # Below beta = 0.1 a parabola x²/(2 beta), above |x| - beta/2.
    assert float(box_smooth_l1(predicted, target, torch.tensor([2.0]))) == pytest.approx(
        2 * (0.05**2 / 0.2 + 0.95)
    )
    assert float(box_smooth_l1(target, target, torch.ones(1))) == 0


def test_landmark_errors_are_shares_of_the_face() -> None:
    target = torch.zeros(1, 10)
    predicted = target.clone()
    predicted[0, 3] = 1.0
    small, large = (
        float(landmark_smooth_l1(predicted, target, torch.tensor([size]), torch.ones(1)))
        for size in (1.0, 10.0)
    )
    assert small == pytest.approx(1 - 0.025)
    assert large == pytest.approx(0.1 - 0.025)
    # A face of no size does not divide by zero.
    tiny = landmark_smooth_l1(predicted, target, torch.zeros(1), torch.ones(1))
    assert float(tiny) == pytest.approx(2 - 0.025)


def test_no_cells_give_no_loss() -> None:
    none, no_weight = torch.zeros(0, 4), torch.zeros(0)
    assert float(box_iou_distance(none, none, no_weight)) == 0
    assert float(box_smooth_l1(none, none, no_weight)) == 0
    assert float(landmark_smooth_l1(torch.zeros(0, 10), torch.zeros(0, 10), no_weight, no_weight)) == 0


def test_a_picture_half_as_large_keeps_what_is_smooth_and_loses_the_pattern_of_a_stem() -> None:
    flat = torch.full((1, 3, 64, 64), 0.4)
    assert torch.allclose(half(flat), flat[..., :32, :32])
    stripes = torch.cos(torch.arange(64) * torch.pi / 2).expand(1, 3, 64, 64)  # a period of 4 px
    assert half(stripes)[..., 2:-2].abs().max() < 0.2
    waves = torch.cos(torch.arange(64) * torch.pi / 32).expand(1, 3, 64, 64)  # one of 64 px
    assert half(waves).abs().max() > 0.95
