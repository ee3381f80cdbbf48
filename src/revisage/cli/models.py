"""`revisage models`: which models there are, what each is, get one, add your own."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from revisage import zoo
from revisage.cli._bar import bar
from revisage.cli._parse import parse_command
from revisage.cli._say import printable, say
from revisage.errors import ModelError, RevisageError, UnknownNetworkError, UsageError
from revisage.files import absent
from revisage.options import Arg
from revisage.zoo import Model, ModelSpec, checkpoints

_PIPE_WIDTH = 200  # columns of a table when no terminal says how wide it is


@dataclass(frozen=True)
class List:
    """Show every model known by name and every one of your own, and whether it is on this machine."""


@dataclass(frozen=True)
class Info:
    """Show what is known of one model: where it is, its licence, its card."""

    name: Annotated[str, Arg(metavar="NAME", positional=True)]
    """A name that `revisage models list` shows."""


@dataclass(frozen=True)
class Pull:
    """Download models into your model folder; what is here already is left alone.

    Weights published for PyTorch are made into ONNX models once, which takes seconds and needs no PyTorch.
    """

    names: Annotated[tuple[str, ...], Arg(metavar="NAME", positional=True)]
    """Names of the catalogue."""


@dataclass(frozen=True)
class Import:
    """Put a model of your own, or one that others publish, into your model folder for `--model NAME`."""

    file: Annotated[Path, Arg(metavar="FILE", positional=True)]
    """A single .onnx file with the contract in its metadata, as `revisage export` writes it; or weights of
    GFP-GAN (1.2 clean, 1.3, 1.4) or Real-ESRGAN (RRDBNet, SRVGGNetCompact) as .pth or .safetensors, or of the
    latter two as the .param or .bin file for ncnn, as Upscayl has them; with PyTorch and spandrel
    (revisage[checkpoints]) also weights of DnCNN, MoSR, OmniSR, PLKSR, RealCUGAN, SAFMN, SPAN,
    SwiftSRGAN and SwinIR."""
    name: Annotated[str | None, Arg(name="as", metavar="NAME")] = None
    """What to call it, if not by the name in its metadata, in the catalogue, or of the file."""


Command = List | Info | Pull | Import
COMMANDS: dict[str, type] = {"list": List, "info": Info, "pull": Pull, "import": Import}


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: done, 1: a model is missing, damaged or cannot be got, 2: bad usage."""
    command: Command = parse_command(COMMANDS, "models", argv)
    match command:
        case List():
            return _list()
        case Info(name):
            return _info(name)
        case Pull(names):
            return _pull(names)
        case Import(file, _) if not file.exists():
            raise absent(file)
        case Import(file, name):
            checkpoint = file.suffix.lower() in checkpoints.SUFFIXES
            path = _convert(file, name) if checkpoint else zoo.import_model(file, name)
            say(f"{path.stem}: {path}")
            return 0


def _list() -> int:
    here = {model.spec.name: model for model in zoo.installed()}
    specs = {**zoo.CATALOGUE, **{name: model.spec for name, model in here.items()}}
    table = Table(box=None, pad_edge=False, header_style="bold")
    # "ABOUT" alone may wrap, so that every other cell can be read off a line.
    for heading in ("NAME", "TASK", "STATE", "SIZE", "VERSION", "LICENCE"):
        table.add_column(heading, no_wrap=True)
    table.add_column("ABOUT", overflow="fold")
    for name, spec in specs.items():
        model = here.get(name)
        cells = [name, spec.task, _state(model), _size(spec, model), spec.version, spec.licence]
        table.add_row(*(Text(printable(cell)) for cell in (*cells, spec.description)))
    _console().print(table)
    for reason in zoo.ignored().values():
        say(f"ignored: {reason}", error=True)
    return 0


def _info(name: str) -> int:
    spec, model = zoo.CATALOGUE.get(name), None
    try:
        model = zoo.get(name)
        spec = spec or model.spec
    except ModelError:
        if spec is None:
            raise
    framing = ", a whole picture of one face: with --aligned" if spec.framing == "whole" else ""
    facts = {
        "name": spec.name,
        "task": spec.task,
        "input": (f"{spec.size} x {spec.size} px" if spec.size else "any size") + framing,
        "scale": f"x{spec.scale}" if spec.scale else "no picture",
        "version": spec.version,
        "licence": spec.licence,
        "about": spec.description,
        "state": _state(model),
        "file": str(model.path) if model is not None else spec.file,
        "size": _size(spec, model),
        "address": spec.url or "",
        "sha256": spec.sha256 or "",
        "twin": f"{spec.twin}; --scene {name}:0.3 mixes the two" if spec.twin else "",
    }
    for key, value in facts.items():
        if value:
            say(f"{key:<8} {value}")
    if model is not None and model.card is not None:
        text, console = model.card.read_text(encoding="utf-8"), _console()
        print()
        if console.is_terminal:
            console.print(Markdown(text))
        else:
            print(text.rstrip())
    return 0


def _pull(names: Sequence[str]) -> int:
    if not names:
        raise UsageError("name at least one model to pull")
    for name in names:
        if name not in zoo.CATALOGUE:
            raise zoo.store.unknown(name, zoo.CATALOGUE)
    failed = 0
    for name in names:
        try:
            say(f"{name}: {_pull_one(name)}")
        except RevisageError as error:
            failed += 1
            say(f"revisage models: {error}", error=True)
    return 1 if failed else 0


def _pull_one(name: str) -> Path:
    with bar("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn()) as shown:
        task = shown.add_task(name, total=zoo.CATALOGUE[name].bytes)
        path = zoo.pull(name, progress=lambda here, total: shown.update(task, completed=here, total=total))
    if zoo.CATALOGUE[name].checkpoint is None or path.suffix == ".onnx":
        return path
    model = _convert(path, name)
    if path.parent == zoo.user_folder():
        path.unlink(missing_ok=True)  # downloaded for this only; a folder of the user's stays as it is
    return model


def _convert(checkpoint: Path, name: str | None) -> Path:
    """The ONNX model made of a published checkpoint."""
    from revisage.restore.published import install

    with bar(SpinnerColumn(), "{task.description}") as shown:
        shown.add_task(f"making an ONNX model of {checkpoint.name}")
        try:
            return install(checkpoint, name)
        except UnknownNetworkError as error:
            if find_spec("spandrel") is None:
                raise ModelError(f"{error}; for more: pip install 'revisage[checkpoints]'") from None
            from revisage.lab import foreign

            return foreign.install(checkpoint, name, error)


def _state(model: Model | None) -> str:
    if model is None:
        return "not installed"
    return "embedded" if model.embedded else "installed"


def _size(spec: ModelSpec, model: Model | None) -> str:
    count = model.path.stat().st_size if model is not None else spec.bytes
    return f"{count / 2**20:.1f} MiB" if count is not None else "?"


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)
