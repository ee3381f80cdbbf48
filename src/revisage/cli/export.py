"""`revisage export`: the best checkpoint of a training as an ONNX model."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from revisage.cli._parse import parse
from revisage.cli._say import say
from revisage.errors import ModelError, TrainingError, UsageError
from revisage.options import Arg
from revisage.zoo.contract import read_contract
from revisage.zoo.spec import name_of


@dataclass(frozen=True)
class Options:
    """Write the averaged weights of a training as an ONNX model that `revisage restore` can use."""

    run: Annotated[Path, Arg(metavar="RUN", positional=True)]
    """Folder of the training."""
    out: Annotated[Path, Arg(metavar="OUT.onnx", positional=True)]
    """The file to write."""
    name: str | None = None
    """The model's name; OUT without its extension by default, signs that a name cannot have as "-"."""
    version: str = "1"
    """The model's version."""
    licence: str = "own weights"
    """The licence of the weights."""
    scale: Literal[1, 2] | None = None
    """Of a scene model that cleans at two sizes: the one to write, 1 or 2; 2 if not given."""
    int8: Annotated[Path | None, Arg(metavar="PICTURES")] = None
    """Of a scene model: also write OUT-int8.onnx, the same in 8-bit integers, which is faster on a CPU; a
    folder of photographs to measure ranges on. Needs revisage[int8]."""
    overwrite: bool = False
    """Also write over files that Revisage did not make."""
    newest: bool = False
    """Take the newest checkpoint, not the one with the best validation figure."""
    mix: Annotated[str | None, Arg(metavar="FILE.onnx:SHARE")] = None
    """Mix the weights with those of an exported file of the same network, as a rule the one that the training
    started from: FILE.onnx:0.4 for four tenths of it."""


def _is_model(path: Path) -> bool:
    with suppress(ModelError):
        read_contract(path)
        return True
    return False


def _is_companion(path: Path) -> bool:
    """Whether a file holds what an export writes beside its model."""
    from revisage.lab.train import checkpoint

    with suppress(TrainingError):
        return "onnx" in checkpoint.load(path)
    return False


def _mixed(text: str | None) -> tuple[Path, float] | None:
    if text is None:
        return None
    file, _, share = text.rpartition(":")
    try:
        return Path(file), float(share)
    except ValueError:
        raise UsageError(f"--mix {text}: give FILE.onnx:SHARE, such as start.onnx:0.4") from None


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: written, 1: failed, 2: bad usage."""
    options = parse(Options, "export", argv)
    small = options.out.with_name(f"{options.out.stem}-int8.onnx")
    for path in (options.out, *([small] if options.int8 is not None else [])):
        if path.exists() and not options.overwrite and not _is_model(path):
            raise UsageError(f"{path} is no model of Revisage: choose another name, or give --overwrite")
    from revisage.lab.quantise import measured_on, quantise
    from revisage.lab.train.init import companion
    from revisage.lab.train.publish import publish

    beside = companion(options.out)
    if beside.exists() and not options.overwrite and not _is_companion(beside):
        where = f"{beside}, where weights to go on from are written"
        raise UsageError(f"{where}, is no file of Revisage: choose another name, or give --overwrite")

    try:
        if options.int8 is not None:
            measured_on(options.int8)
        parity = publish(
            options.run,
            options.out,
            name=options.name or name_of(options.out) or options.out.stem,
            version=options.version,
            licence=options.licence,
            newest=options.newest,
            mix=_mixed(options.mix),
            scale=options.scale,
            int8=options.int8 is not None,
        )
        decibels = quantise(options.out, options.int8, small) if options.int8 is not None else None
    except OSError as error:
        raise ModelError(f"{options.out} cannot be written: {error.strerror or error}") from None
    difference = f"{parity.max_abs:.2g} (allowed {parity.tolerance:.2g})"
    say(f"{options.out}: largest difference from the network {difference}")
    if decibels is not None:
        say(f"{small}: {decibels:.1f} dB against it")
    return 0
