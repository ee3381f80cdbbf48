"""What the discriminators of several systems have in common: their loss, and the lazy gradient penalty."""

from collections.abc import Callable

import torch
from torch import Tensor

from revisage.lab.losses.adversarial import discriminator_logistic, r1
from revisage.lab.networks.discriminators import Discriminator
from revisage.lab.train.task import Batch

R1_INTERVAL = 16
"""The penalty is taken in every so many-th step (StyleGAN2, §3.1)."""


def logistic(critic: Callable[[Tensor], Tensor], batch: Batch) -> dict[str, Tensor]:
    """The loss of a discriminator that is to tell "clean" from "fake"."""
    return {"logistic": discriminator_logistic(critic(batch["clean"]), critic(batch["fake"]))}


def penalty(
    critic: Discriminator, clean: Tensor, weight: float, low: Tensor | None = None
) -> dict[str, Tensor]:
    """`weight` times R1 over what a discriminator sees of `clean`, for the steps that it is left out of too.
    `low` is of a conditional one."""
    with torch.autocast(clean.device.type, enabled=False):
        seen = critic.see(clean).detach().requires_grad_()
        given = () if low is None else (critic.see(low).detach(),)
        logits = critic.judge(seen, *given)
        return {"r1": weight * R1_INTERVAL * r1(logits, seen)}
