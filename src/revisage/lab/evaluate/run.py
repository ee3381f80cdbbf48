"""The evaluation: every picture through every method, every result through every metric.

Each result is written to OUT/pictures/METHOD/NAME.png, and beside it a note of what it was made of and what
was measured. Started again, after a kill or with a metric more, a run takes over what its notes vouch for.
"""

import hashlib
import importlib.metadata
import json
import math
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from revisage.errors import UsageError
from revisage.faces import align
from revisage.files import sha256, write_atomically
from revisage.image import Photo, encode
from revisage.lab.data.pictures import all_pictures, fit
from revisage.lab.evaluate.data import Data, Item, Pair, face_matrix, read, stem
from revisage.lab.evaluate.measure import to_batch
from revisage.lab.evaluate.methods import Method
from revisage.lab.evaluate.results import Labels, Results
from revisage.lab.metrics import Metric, describe
from revisage.lab.metrics.metric import Gathered
from revisage.version import __version__

Track = Callable[[Sequence[Item], str], Iterable[Item]]
"""Wraps the pictures of a pass over the data, with its name, to show how far it is."""

PICTURES = "pictures"
FACE_SIDE = 256  # of the crop that face metrics get of a picture that is no aligned face
LIBRARIES = ("numpy", "opencv-python-headless", "openvino", "pillow", "torch", "torchmetrics")


def evaluate(
    data: Data,
    methods: dict[str, Method],
    metrics: Sequence[Metric],
    out: Path,
    *,
    labels: Labels | None = None,
    reference: Path | None = None,
    track: Track = lambda items, name: items,
) -> Results:
    """Measure methods, by their labels, on data. What an earlier run left in the folder `out` is used where
    it is still right. `labels` make groups of the pictures, `reference` is a folder of pictures that metrics
    of sets compare with instead of the truths, and `track` is for a progress bar.

    Raises PhotoError (a picture cannot be read), UsageError (it is too small for a metric, none holds a
    face), ModelError (a model fails), SaveError (the folder cannot be written).
    """
    paths = [] if reference is None else all_pictures(reference)
    run = _Run(data, methods, metrics, out)
    measured = {item.name: run.measure(item) for item in track(data.items, "Measuring")}
    rows = {name: row for name, row in measured.items() if row is not None}
    if not rows:
        raise UsageError("no face was found in any picture")
    kept = [item for item in data.items if item.name in rows]
    sets = {}
    for metric in metrics:
        if metric.spec.kind == "set":
            name = metric.spec.name
            if reference is None:
                truth = run.gathered(metric, truth_folder(out), track(kept, f"{name} of the truth"))
            else:
                truth = run.features(metric, ((str(path.resolve()), path, path) for path in paths))
            sets[name] = {
                label: run.gathered(metric, folder, track(kept, f"{name} of {label}")).distance(truth)
                for label, folder in run.folders.items()
            }
    return Results(
        names=tuple(rows),
        methods=tuple(methods),
        metrics=tuple(metric.spec for metric in metrics),
        values=np.stack(list(rows.values())),
        sets=sets,
        facts={
            "tool": f"revisage {__version__}",
            "versions": _versions(),
            "data": {
                "kind": data.kind,
                "pictures": len(rows),
                "without_face": [name for name in measured if name not in rows],
                "sha256": data.sha256(),
                "recipe": data.recipe if data.kind == "clean" else None,
                "seed": data.seed if data.kind == "clean" else None,
                **asdict(data.view),
            },
            "reference": {"pictures": len(paths), "sha256": sha256("".join(map(sha256, paths)).encode())}
            if paths
            else None,
            "metrics": {metric.spec.name: describe(metric) for metric in metrics},
            "made_by": {label: method.identity for label, method in methods.items()},
            "intervals": "95 %, bootstrap over pictures, 2,000 draws, seed 0; none for metrics of sets",
        },
        labels=labels,
    )


def folder_of(out: Path, label: str, number: int) -> Path:
    """Where the results of a method lie; `number` is its place, for labels that would make equal names."""
    return out / PICTURES / f"{number}-{re.sub(r'[^A-Za-z0-9._-]+', '-', label).strip('-.')[:60]}"


def picture_of(folder: Path, name: str) -> Path:
    """The file of one picture in a folder of results."""
    return folder / f"{stem(name)}.png"


def truth_folder(out: Path) -> Path:
    """Where the true pictures lie, as they were compared with."""
    return out / PICTURES / "truth"


class _Run:
    """One evaluation under way."""

    def __init__(self, data: Data, methods: dict[str, Method], metrics: Sequence[Metric], out: Path) -> None:
        self._data, self._methods, self._out = data, list(methods.values()), out
        self._metrics = metrics
        self._each = [metric for metric in metrics if metric.spec.kind != "set"]
        self._matrices: dict[str, np.ndarray | None] = {}
        self.folders = {label: folder_of(out, label, i) for i, label in enumerate(methods)}
        self._folders = list(self.folders.values())
        self._made_by = [_digest([method.identity, data.view.scale]) for method in self._methods]
        self._measured_by = [_digest([describe(metric), data.view.faces]) for metric in self._each]

    def measure(self, item: Item) -> np.ndarray | None:
        """(methods, metrics) float64 of one picture; None when it is left out."""
        pair = self._data.load(item)
        if pair is None:
            return None
        low, truth = pair
        truth_hash = "" if truth is None else _hash(truth)
        if truth is not None:
            path = picture_of(truth_folder(self._out), item.name)
            if not path.is_file() or _hash(read(path)) != truth_hash:
                _write(path, truth)
        notes, changed = [self._note(i, item, low) for i in range(len(self._methods))], set[int]()
        found = np.full((len(notes), len(self._metrics)), np.nan)
        for metric, by in zip(self._each, self._measured_by, strict=True):
            column, key = self._metrics.index(metric), f"{by} {truth_hash or _hash(low)}"
            missing = [i for i, note in enumerate(notes) if key not in note["values"]]
            if missing:
                for i, value in zip(missing, self._values(metric, item, pair, missing), strict=True):
                    notes[i]["values"][key] = value
                changed.update(missing)
            found[:, column] = [note["values"][key] for note in notes]
        for i in changed:
            # NaN and infinity stay what they are: these notes are for Python's own reader.
            path = picture_of(self._folders[i], item.name).with_suffix(".json")
            write_atomically(path, json.dumps(notes[i]).encode())
        return found

    def _note(self, number: int, item: Item, low: np.ndarray) -> dict[str, Any]:
        """What is known of one result, which is made first if it is not there."""
        folder, key = self._folders[number], f"{self._made_by[number]} {_hash(low)}"
        picture = picture_of(folder, item.name)
        path = picture.with_suffix(".json")
        with suppress(OSError, ValueError, KeyError, TypeError):
            note: dict[str, Any] = json.loads(path.read_bytes())
            if note["made"] == key and picture.is_file():
                return note
        height, width = (side * self._data.view.scale for side in low.shape[:2])
        result = self._methods[number].run(item.name, low, self._data.view.scale)
        assert result.shape == (height, width, 3), (result.shape, height, width)
        path.unlink(missing_ok=True)  # an old note must not vouch for the new picture
        _write(picture, result)
        note = {"made": key, "values": {}}
        write_atomically(path, json.dumps(note).encode())
        return note

    def _values(self, metric: Metric, item: Item, pair: Pair, missing: Sequence[int]) -> list[float]:
        restored = [read(picture_of(self._folders[i], item.name)) for i in missing]
        # Without a truth the low picture stands for it: a face's expression can be compared with that.
        low, truth = pair
        truth = fit(low, *restored[0].shape[:2]) if truth is None else truth
        batch = self._batch(metric, item.name, [*restored, truth], truth)
        if batch is None:
            return [math.nan] * len(missing)
        try:
            return metric(batch[:-1], batch[-1:].expand_as(batch[:-1])).tolist()
        except UsageError as error:
            raise UsageError(f"{item.name}: {error}") from None

    @cached_property
    def _find(self) -> Callable[[np.ndarray], np.ndarray | None]:
        return face_matrix(FACE_SIDE)

    def _batch(
        self, metric: Metric, name: str, pictures: Sequence[np.ndarray], truth: np.ndarray
    ) -> Tensor | None:
        """Pictures that show what `truth` does, as a metric takes them: as they are, or, for metrics of
        faces, all cut where `truth` (the true picture, or the low one) has its largest face; None where it
        has none."""
        if not self._data.view.faces and "FFHQ template" in metric.spec.crop:
            if name not in self._matrices:
                self._matrices[name] = self._find(truth)
            matrix = self._matrices[name]
            if matrix is None:
                return None
            pictures = [align(picture, matrix, FACE_SIDE) for picture in pictures]
        return to_batch(pictures)

    def gathered(self, metric: Metric, folder: Path, items: Iterable[Item]) -> Gathered:
        """What a metric of sets keeps of the pictures in a folder of results."""
        truths = truth_folder(self._out) if self._data.has_truth else folder
        names = (item.name for item in items)
        return self.features(metric, ((n, picture_of(folder, n), picture_of(truths, n)) for n in names))

    def features(self, metric: Metric, pictures: Iterable[tuple[str, Path, Path]]) -> Gathered:
        """What it keeps of pictures, each with its name and the picture that tells where its face is."""

        def batches() -> Iterator[Tensor | None]:
            for name, path, truth in pictures:
                picture = read(path)
                yield self._batch(metric, name, [picture], picture if truth == path else read(truth))

        return metric.gathered(batch for batch in batches() if batch is not None)


def _write(path: Path, picture: np.ndarray) -> None:
    write_atomically(path, encode(Photo(picture), format="PNG"))


def _hash(picture: np.ndarray) -> str:
    digest = hashlib.sha256(str(picture.shape).encode())
    digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()


def _digest(facts: Any) -> str:
    return sha256(json.dumps(facts, sort_keys=True).encode())


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
