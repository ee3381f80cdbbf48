"""From a training's checkpoint to a model file."""

from pathlib import Path

import torch
from torch import nn

from revisage.errors import TrainingError, UsageError
from revisage.lab.architectures import export_network, task_of
from revisage.lab.export import Parity
from revisage.lab.train import checkpoint
from revisage.lab.train.checkpoint import Weights
from revisage.lab.train.init import save_companion, start_from


def publish(
    run: Path,
    path: Path,
    *,
    name: str,
    version: str,
    licence: str,
    newest: bool = False,
    mix: tuple[Path, float] | None = None,
    scale: int | None = None,
    int8: bool = False,
) -> Parity:
    """Export the averaged network of `run` (a folder of `revisage train`) to `path`.

    The best checkpoint by validation is taken, or the newest one. `mix` names an exported file of the
    same network, as a rule the one that the training started from, and the share, 0 to 1, that its weights
    get in the mean: what an adversarial training overdoes becomes less (Wang et al., *Deep Network
    Interpolation*, CVPR 2019). Weights that the file lacks are those with which a training
    of seed 0 begins. `scale` chooses one of the two pictures of a `Scene`, the doubled one unless told; other
    networks have one. `int8` says that an 8-bit model is made of the file, which is for scenes alone.
    Weights that the file lacks go beside `path` (`revisage.lab.train.init.companion`).

    Raises TrainingError without a checkpoint or when it, or the file, is of another network, UsageError for a
    share that is none, a network with batch norms, or a `scale` or `int8` that does not fit, ModelError when
    the export differs.
    """
    weights = checkpoint.averaged(run, best=not newest)
    if weights.architecture is None:
        raise TrainingError(f"{run} does not say which network it is of: train again")
    network = weights.network()
    if mix is not None:
        _mix(network, weights, *mix)
    if scale is not None and weights.architecture != "scene":
        raise UsageError(f"--scale is for scene models of two sizes; a {weights.architecture} has one")
    if int8 and task_of(network) != "scene":
        raise UsageError(f"only scene models are made 8-bit, {run} is of {task_of(network)}")
    parity = export_network(network, path, name=name, version=version, licence=licence, scale=scale or 2)
    save_companion(network, path)
    return parity


@torch.no_grad()
def _mix(network: nn.Module, trained: Weights, start: Path, share: float) -> None:
    """Give a network of `trained` weights their mean with those of the file, which get the weight `share`."""
    if not 0 <= share <= 1:
        raise UsageError(f"the share of {start} must be between 0 and 1, got {share}")
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        raise UsageError("networks with batch norms cannot be mixed: statistics are of one set of weights")
    begun = trained.fresh()
    start_from(begun, start)
    for value, other in zip(network.state_dict().values(), begun.state_dict().values(), strict=True):
        if value.is_floating_point():
            value.lerp_(other, share)
