"""`revisage bench archive`: how fast this machine restores a sample, and what an archive takes and costs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval

from revisage.batch import make_restorer, plan_photos, shared_memory
from revisage.batch.engines.processes import Work
from revisage.batch.forecast import Terms, fit, measure, sample
from revisage.cli._parse import parse
from revisage.files import write_atomically
from revisage.options import Arg, ModelSettings, RestoreOptions, SaveOptions, Settings
from revisage.restore.report import STAGES
from revisage.runtime.cores import cores

PHOTOS = {"1 million": 10**6, "1 billion": 10**9}
MACHINES = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Options:
    """Restore a sample of an archive with one and with two workers of one core each, and compute from that
    what machines like this one need for a million and a billion photos. Nothing is kept of the results."""

    what: Annotated[Literal["archive"], Arg(positional=True)]
    """What to measure."""
    photos: Annotated[Path, Arg(metavar="DIR", positional=True)]
    """Photos as the archive has them."""
    sample: Annotated[int, Interval(ge=2)] = 16
    """Photos to restore in each run, spread evenly over DIR."""
    price: Annotated[float, Interval(ge=0)] = 0.04
    """Dollars for a core for an hour."""
    cores: Annotated[int | None, Interval(ge=1)] = None
    """Cores of the machines to be computed for; this machine's if not given."""
    restoring: RestoreOptions = field(default_factory=RestoreOptions)
    models: ModelSettings = field(default_factory=ModelSettings)
    out: Annotated[Path | None, Arg(metavar="FILE.json")] = None
    """Also write the figures as JSON."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: measured, 1: it could not be, 2: bad usage."""
    options = parse(Options, "bench", argv)
    figures = _measured(options)
    if options.out is not None:
        write_atomically(options.out, (json.dumps(figures, indent=2) + "\n").encode())
    print(_text(figures))
    return 0


def _measured(options: Options) -> dict[str, Any]:
    # The folder for results is never written to; the plan only says which files are photos.
    jobs = plan_photos([options.photos], options.photos.absolute().parent / ".revisage-bench")
    photos = [Path(job.source) for job in sample(jobs, options.sample)]
    settings = shared_memory(Settings(**asdict(options.models)))
    work = Work(partial(make_restorer, settings), options.restoring, SaveOptions(), 2, 1)
    one, done = measure(photos, work, 1)
    two, _ = measure(photos, work, 2)
    terms = fit(one, two)
    count = options.cores or cores()
    seconds = {stage: sum(outcome.entry["seconds"][stage] for outcome in done) for stage in STAGES}
    pixels = [outcome.entry["size_in"][0] * outcome.entry["size_in"][1] for outcome in done]
    return {
        "sample": {
            "photos": one.photos,
            "restored": len(done),
            "megapixels": sum(pixels) / len(done) / 1e6,
            "faces": sum(len(outcome.entry["faces"]) for outcome in done) / len(done),
            "stages": {stage: value / sum(seconds.values()) for stage, value in seconds.items()},
        },
        "runs": [asdict(one), asdict(two)],
        "terms": asdict(terms),
        "cores": count,
        "price": options.price,
        "most_machines": terms.most_machines(count),
        "forecast": [_row(terms, machines, count, options.price) for machines in MACHINES],
    }


def _row(terms: Terms, machines: int, count: int, price: float) -> dict[str, Any]:
    hours = {name: terms.core_hours(photos, machines, count) for name, photos in PHOTOS.items()}
    return {
        "machines": machines,
        "photos_per_hour": 3600 / terms.seconds(machines, count),
        "days": {name: terms.seconds(machines, count) * photos / 86400 for name, photos in PHOTOS.items()},
        "core_hours": hours,
        "dollars": {name: value * price for name, value in hours.items()},
    }


def _text(figures: dict[str, Any]) -> str:
    of, terms = figures["sample"], figures["terms"]
    table = "{:>9,} {:>14,.0f}" + " {:>10,.1f} d {:>9,.0f} h ${:>11,.0f}" * len(PHOTOS)
    lines = [
        f"{of['photos']} photos of {of['megapixels']:.2f} megapixels and {of['faces']:.1f} faces on average, "
        f"{of['restored']} restored",
        "time: " + ", ".join(f"{stage} {share:.0%}" for stage, share in of["stages"].items()),
    ]
    rates = {run["workers"]: 3600 * run["photos"] / run["seconds"] for run in figures["runs"]}
    lines += [
        *(f"measured with {n} x 1 core: {rate:,.0f} photos/hour" for n, rate in rates.items()),
        f"seconds per photo: {terms['parallel']:.3f} side by side, {terms['shared']:.3f} in turns on a "
        f"machine, {terms['driver']:.5f} in the driver",
        "",
        f"computed for machines of {figures['cores']} cores at ${figures['price']:g} a core-hour:",
        f"{'machines':>9} {'photos/hour':>14} " + " ".join(f"{name:>36}" for name in PHOTOS),
    ]
    for row in figures["forecast"]:
        columns = [row[key][name] for name in PHOTOS for key in ("days", "core_hours", "dollars")]
        lines.append(table.format(row["machines"], row["photos_per_hour"], *columns))
    most = f"One run keeps up to {figures['most_machines']:,} machines busy"
    lines.append(f"{most}; for more, divide the archive by folders.")
    return "\n".join(lines)
