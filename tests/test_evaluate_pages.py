"""What an evaluation writes for people: its page, its tables, its groups."""

import html.parser
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from evaluate_stubs import Brighter, brighter, picture, write_pictures

from revisage.errors import UsageError
from revisage.lab.evaluate import (
    Data,
    Results,
    View,
    clean_pictures,
    evaluate,
    open_metrics,
    read_labels,
    write_reports,
)
from revisage.lab.evaluate.tables import gaps_markdown

METRICS = ("psnr", "ssim")


def clean(folder: Path, count: int = 6, **view: object) -> Data:
    write_pictures(folder, count)
    return clean_pictures(folder, recipe="none", seed=0, view=View(**view))  # type: ignore[arg-type]


def run(data: Data, methods: dict[str, Any], out: Path, **more: object) -> Results:
    results = evaluate(data, methods, open_metrics(METRICS, data), out, **more)  # type: ignore[arg-type]
    write_reports(results, out)
    return results


class _Tags(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [str(value) for key, value in attrs if key in ("src", "href")]


def test_a_hostile_name_stays_text_and_every_picture_is_there(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>&'\" #%41?.png"
    (tmp_path / "clean").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "clean" / name)
    Image.fromarray(picture(1)).save(tmp_path / "clean" / "b.png")
    data = clean_pictures(tmp_path / "clean", recipe="none", seed=0, view=View())
    label = "</script><script>alert(2)</script>|a_b"
    run(data, {"input": Brighter(0), label: Brighter(3)}, tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text()
    tags = _Tags(page)
    assert tags.tags.count("script") == 2
    assert tags.tags.count("img") == 4
    assert "alert(2)</script>" not in page
    from urllib.parse import unquote

    assert not [source for source in tags.sources if ":" in source]
    for source in tags.sources:
        assert (tmp_path / "out" / unquote(source)).is_file(), source
    assert label in json.loads((tmp_path / "out/results.json").read_text())["methods"]
    assert r"\|a\_b" in (tmp_path / "out/table.md").read_text()
    assert r"a\_b" in (tmp_path / "out/table.tex").read_text()


def test_the_best_is_marked_in_each_column(tmp_path: Path) -> None:
    run(clean(tmp_path / "clean"), brighter(8, 2, 30), tmp_path / "out")
    rows = [line.split("|")[1:-1] for line in (tmp_path / "out/table.md").read_text().splitlines()[2:5]]
    assert [row[0].strip() for row in rows] == ["+8", "+2", "+30"]
    assert [[cell.strip().startswith("**") for cell in row[1:]] for row in rows] == [
        [False] * 2,
        [True] * 2,
        [False] * 2,
    ]
    tex = (tmp_path / "out/table.tex").read_text().splitlines()
    assert [line.count(r"\textbf") for line in tex if line.startswith("+")] == [0, 2, 0]


def test_equal_pictures_have_no_finite_psnr_and_say_so(tmp_path: Path) -> None:
    run(clean(tmp_path / "clean"), brighter(0), tmp_path / "out")
    entry = json.loads((tmp_path / "out/results.json").read_text())["methods"]["+0"]["psnr"]
    assert entry["mean"] is None
    assert entry["n"] == 6
    assert "∞" in (tmp_path / "out/table.md").read_text()


def test_groups_and_the_largest_gap(tmp_path: Path) -> None:
    data = clean(tmp_path / "clean", 24)

    class Unfair:
        identity = "unfair"

        def run(self, name: str, pixels: np.ndarray, scale: int) -> np.ndarray:
            number = int(Path(name).stem)
            return Brighter(3 if number % 2 else 24).run(name, pixels, scale)

    table = tmp_path / "labels.csv"
    rows = [
        f"{Path(item.name).stem},{'odd' if int(Path(item.name).stem) % 2 else 'even'},{n}"
        for n, item in enumerate(data.items)
    ]
    rows = [f"{'below/' if int(r.split(',')[0]) % 4 == 3 else ''}{r}" for r in rows]
    table.write_text("image,parity,number\n" + "\n".join(rows) + "\n")
    labels = read_labels(table, [item.name for item in data.items])
    assert labels.left_out == ("number",)
    results = run(data, {"unfair": Unfair(), **brighter(8)}, tmp_path / "out", labels=labels)
    groups = json.loads((tmp_path / "out/results.json").read_text())["groups"]["parity"]
    values = results.column("unfair", "psnr")
    odd = [i for i, item in enumerate(data.items) if int(Path(item.name).stem) % 2]
    even = sorted(set(range(24)) - set(odd))
    gap = groups["unfair"]["largest_gap"]["psnr"]
    assert gap["mean"] == pytest.approx(values[odd].mean() - values[even].mean())
    assert (gap["low"], gap["high"]) == ("even", "odd")
    assert gap["ci95"][0] > gap["chance95"]
    assert groups["unfair"]["groups"]["odd"]["psnr"]["n"] == 12
    fair = groups["+8"]["largest_gap"]["psnr"]
    assert fair["mean"] < gap["ci95"][0]
    (row,) = [line for line in gaps_markdown(results).splitlines() if line.startswith("| unfair | psnr |")]
    assert re.search(rf"\| {gap['mean']:.2f} \([\d.]+–[\d.]+\) \| [\d.]+ \| even \| odd \|$", row)
    assert row in (tmp_path / "out/groups.md").read_text()
    both = replace(
        results, labels=replace(labels, columns=labels.columns | {"half": labels.columns["parity"]})
    )
    rows = gaps_markdown(both).splitlines()
    assert rows[0].startswith("| labels | method |")
    assert [line.split(" | ")[0] for line in rows if "unfair | psnr" in line] == ["| parity", "| half"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,age\n0.png,3\n", "1.png"),
        ("name,age\n0.png,3\n", "column image"),
        ("image\n0.png\n1.png\n", "column image"),
        ("", "column image"),
    ],
)
def test_a_table_of_labels_that_cannot_be_used_is_refused(tmp_path: Path, text: str, says: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(text)
    with pytest.raises(UsageError, match=says):
        read_labels(table, ["0.png", "1.png"])
