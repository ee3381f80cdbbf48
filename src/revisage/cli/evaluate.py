"""`revisage evaluate`: measure methods of restoration on one set of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Interval

from revisage import zoo
from revisage.cli._bar import tracked
from revisage.cli._parse import parse
from revisage.cli._say import say
from revisage.errors import UsageError
from revisage.files import claim
from revisage.options import Arg

if TYPE_CHECKING:
    from revisage.lab.evaluate import Data


@dataclass(frozen=True)
class Options:
    """Measure methods on pictures: figures with intervals, tables, a contact sheet and a page with sliders.

    Give one of --clean (with --recipe), --pairs, --images or --test (with --data). Started again with the
    same --out, work that is done is not done again.
    """

    out: Annotated[Path, Arg(metavar="DIR")]
    """Folder for results.json, images.csv, table.md, table.tex, sheet.png, index.html and the pictures."""
    clean: Annotated[Path | None, Arg(metavar="DIR")] = None
    """Clean pictures, to be degraded by --recipe."""
    recipe: Annotated[str | None, Arg(metavar="NAME")] = None
    """How --clean pictures are degraded, as by `revisage degrade`; none: not at all, for --setting x4."""
    seed: int = 0
    """Of the degradation."""
    pairs: Annotated[tuple[Path, Path] | None, Arg(metavar="LOW HIGH")] = None
    """Folders of degraded and true pictures that share their names."""
    images: Annotated[Path | None, Arg(metavar="DIR")] = None
    """Pictures without truths: only metrics that need none."""
    test: Annotated[str | None, Arg(metavar="NAME")] = None
    """A standard test on your own copy: celeba-test, lfw-test, celebchild-test, webphoto-test, celeba-1pct,
    progressive-16, progressive-128."""
    data: Annotated[Path | None, Arg(metavar="DIR")] = None
    """The pictures of --test."""
    methods: Annotated[str | None, Arg(metavar="A,B,...")] = None
    """What to compare: input, bicubic, restore (as `revisage restore`), names of models, .onnx files,
    checkpoints, folders of results; a>b chains, a+b averages, LABEL=... gives a name. The embedded face and
    scene model beside input and bicubic if not given."""
    metrics: Annotated[str | None, Arg(metavar="a,b,...")] = None
    """What to measure; the names, and those that are measured if none are given, end this help."""
    setting: Literal["same-size", "x4"] = "same-size"
    """x4: methods get a quarter of the width and height."""
    aligned: bool = False
    """The pictures are face crops on the FFHQ template."""
    whole: bool = False
    """Face models get the pictures as they are, not the faces found in them: for progressive-upscale and
    progressive-restore."""
    align: Annotated[int | None, Arg(metavar="SIZE")] = None
    """Make aligned crops of this size of the largest face of each --clean picture first."""
    size: Annotated[int | None, Arg(metavar="SIZE")] = None
    """Bring --clean pictures or --images to this many pixels a side first."""
    split: Literal["all", "held-out", "held-out-people"] = "all"
    """Only pictures held out of training by their name, or by the name of the folder of one person."""
    limit: Annotated[int | None, Arg(metavar="N")] = None
    """At most N of the pictures, chosen by the hash of their names."""
    groups: Annotated[Path | None, Arg(metavar="FILE.csv")] = None
    """A column image and columns of labels: figures by group, and the largest gaps."""
    reference: Annotated[Path | None, Arg(metavar="DIR")] = None
    """Pictures that fid, kid and frechet_identity compare with; the true ones if not given."""
    weights: Annotated[Path | None, Arg(metavar="DIR")] = None
    """Folder of the metrics' weights, looked in before the model folder."""
    expression_model: Annotated[str, Arg(metavar="auto|NAME|FILE.onnx")] = "auto"
    """What recognises expressions."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where the models run."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the models; in fp32 different machines agree best."""
    threads: Annotated[int | None, Interval(ge=1, le=4096)] = None
    """Cores for the models; all if not given."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: done, 1: failed, 2: bad usage."""
    try:
        options = parse(Options, "evaluate", argv)
    except SystemExit as stop:
        with suppress(ModuleNotFoundError):  # without PyTorch there are none
            from revisage.lab.evaluate.measure import DEFAULT, names

            if stop.code == 0:
                print(f"\nMetrics: {', '.join(names())}.\nIf none are given: {', '.join(DEFAULT)}.")
        raise
    _run(options)
    return 0


def _run(options: Options) -> None:
    from revisage.lab import evaluate
    from revisage.lab.evaluate.tables import gaps_markdown, markdown

    data = evaluate.select(_data(options), split=options.split, limit=options.limit)
    claim(options.out, "evaluate", only_check=True)  # taken below, when nothing else can be refused
    names = _listed(options.metrics)
    if not names and options.test is not None:
        names = evaluate.STANDARD_TESTS[options.test].metrics
    labels = None
    if options.groups is not None:
        labels = evaluate.read_labels(options.groups, [item.name for item in data.items])
        for column in labels.left_out:
            say(f"revisage evaluate: {column} has too many labels to make groups", error=True)
    settings = evaluate.MethodSettings(
        aligned=data.view.direct, device=options.device, precision=options.precision, threads=options.threads
    )
    metrics = evaluate.open_metrics(
        names, data, options.weights, options.expression_model, reference=options.reference is not None
    )
    methods = evaluate.open_methods(_listed(options.methods) or default_methods(), settings, data)
    claim(options.out, "evaluate")
    results = evaluate.evaluate(
        data, methods, metrics, options.out, labels=labels, reference=options.reference, track=tracked
    )
    evaluate.write_reports(results, options.out)
    print(markdown(results))
    if labels is not None:
        print(gaps_markdown(results))
    say(options.out / "index.html")


def default_methods() -> tuple[str, ...]:
    """Input, bicubic and the first embedded model for faces and for whole photos. Other embedded ones are for
    pictures of their own kind, such as thumbnails: they are asked for by name."""
    embedded = [model.spec for model in zoo.installed() if model.embedded]
    first = {spec.task: spec.name for spec in reversed(embedded) if spec.task in ("face", "scene")}
    return ("input", "bicubic", *(first[task] for task in ("face", "scene") if task in first))


def _data(options: Options) -> Data:
    from revisage.lab import evaluate

    sources = ("clean", "pairs", "images", "test")
    given = [f"--{name}" for name in sources if getattr(options, name) is not None]
    if len(given) != 1:
        raise UsageError(f"give one of --{', --'.join(sources)}, not {' and '.join(given) or 'none'}")
    if (options.test is None) != (options.data is None):
        raise UsageError("--test NAME and --data DIR go together")
    if (options.clean is None) != (options.recipe is None):
        raise UsageError("--clean DIR and --recipe NAME go together; --recipe none degrades nothing")
    view = evaluate.View(options.setting, options.aligned, options.align, options.size, options.whole)
    if options.test is not None and options.data is not None:
        if options.test not in evaluate.STANDARD_TESTS:
            raise UsageError(f"no test {options.test!r}; there are {', '.join(evaluate.STANDARD_TESTS)}")
        if view != evaluate.View():
            raise UsageError("--test sets the setting, the alignment and the size itself")
        return evaluate.STANDARD_TESTS[options.test].data(options.data, seed=options.seed)
    if options.clean is not None and options.recipe is not None:
        return evaluate.clean_pictures(options.clean, recipe=options.recipe, seed=options.seed, view=view)
    if options.pairs is not None:
        return evaluate.pairs_of(*options.pairs, view=view)
    assert options.images is not None
    return evaluate.outputs_only(options.images, view=view)


def _listed(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(part.strip() for part in text.split(","))
