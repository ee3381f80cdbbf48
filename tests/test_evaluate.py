"""`revisage evaluate` from pictures to files: the figures, starting again, and what a hostile name can do."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from evaluate_stubs import Brighter, brighter, picture, write_pictures
from skimage.data import astronaut

from revisage import cli
from revisage.cli.evaluate import default_methods
from revisage.errors import UsageError
from revisage.lab.evaluate import (
    STANDARD_TESTS,
    Data,
    Results,
    View,
    clean_pictures,
    evaluate,
    open_metrics,
    outputs_only,
    pairs_of,
    select,
    write_reports,
)
from revisage.lab.evaluate.data import read, reduced
from revisage.lab.metrics import METRICS as METRICS_TABLE
from revisage.lab.metrics import Metric
from revisage.zoo import CATALOGUE, Model
from revisage.zoo.spec import EMBEDDED

METRICS = ("psnr", "ssim")


def main(arguments: list[str]) -> int:
    return cli.main(["evaluate", *arguments])


def clean(folder: Path, count: int = 6, **view: object) -> Data:
    write_pictures(folder, count)
    return clean_pictures(folder, recipe="none", seed=0, view=View(**view))  # type: ignore[arg-type]


def run(data: Data, methods: dict[str, Any], out: Path, **more: object) -> Results:
    results = evaluate(data, methods, open_metrics(METRICS, data), out, **more)  # type: ignore[arg-type]
    write_reports(results, out)
    return results


def files(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_figures_are_those_of_the_definition(tmp_path: Path) -> None:
    data = clean(tmp_path / "clean")
    run(data, brighter(2, 8), tmp_path / "out")
    figures = json.loads((tmp_path / "out/results.json").read_text())["methods"]
    expected = []
    for item in data.items:
        assert item.clean is not None
        truth = read(item.clean).astype(float)
        error = np.clip(truth + 8, 0, 255) - truth
        expected.append(10 * np.log10(255**2 / np.mean(error**2)))
    entry = figures["+8"]["psnr"]
    assert entry["mean"] == pytest.approx(np.mean(expected), abs=1e-3)
    assert entry["n"] == 6
    assert entry["ci95"][0] <= entry["mean"] <= entry["ci95"][1]
    with (tmp_path / "out/images.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "+8"]
    assert [row["image"] for row in rows] == ["0.png", "1.png", "2.png", "4.png", "5.png", "below/3.png"]
    assert [float(row["psnr"]) for row in rows] == pytest.approx(expected, abs=1e-3)


def test_the_same_command_gives_the_same_bytes_and_does_nothing_twice(tmp_path: Path) -> None:
    data = clean(tmp_path / "clean")
    run(data, brighter(2, 8), tmp_path / "one")
    run(data, brighter(2, 8), tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    again = brighter(2, 8)
    run(data, again, tmp_path / "one")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert [method.runs for method in again.values()] == [0, 0]


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    data = clean(tmp_path / "clean")
    run(data, brighter(5), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(data, {"+5": Brighter(5, dies_after=3)}, tmp_path / "killed")
    # What a kill may leave behind: half a note.
    note = sorted((tmp_path / "killed").rglob("*.json"))[0]
    note.write_bytes(note.read_bytes()[:20])
    rest = brighter(5)
    run(data, rest, tmp_path / "killed")
    assert rest["+5"].runs == 6 - 3 + 1
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_another_method_of_the_same_name_or_another_input_is_not_taken_for_done(tmp_path: Path) -> None:
    data = clean(tmp_path / "clean")
    run(data, brighter(5), tmp_path / "out")
    other = Brighter(9)
    results = run(data, {"+5": other}, tmp_path / "out")
    assert other.runs == 6
    run(data, {"+5": Brighter(9)}, tmp_path / "fresh")
    assert files(tmp_path / "out") == files(tmp_path / "fresh")
    Image.fromarray(picture(77)).save(tmp_path / "clean/0.png")
    again = Brighter(9)
    changed = run(data, {"+5": again}, tmp_path / "out")
    assert again.runs == 1
    assert changed.values[0, 0, 1] != results.values[0, 0, 1]


def test_a_metric_more_needs_no_model_again(tmp_path: Path) -> None:
    data = clean(tmp_path / "clean")
    evaluate(data, brighter(5), open_metrics(["psnr"], data), tmp_path / "out")
    methods = brighter(5)
    both = evaluate(data, methods, open_metrics(["ssim", "psnr"], data), tmp_path / "out")
    assert methods["+5"].runs == 0
    assert not np.isnan(both.values).any()
    fresh = evaluate(data, brighter(5), open_metrics(["ssim", "psnr"], data), tmp_path / "new")
    np.testing.assert_array_equal(both.values, fresh.values)


def test_degraded_as_the_command_degrade_does(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "clean", 5, 48)
    assert (
        cli.main(["degrade", str(folder), str(tmp_path / "low"), "--recipe", "old-photo", "--seed", "3"]) == 0
    )
    data = clean_pictures(folder, recipe="old-photo", seed=3, view=View())
    for item in data.items:
        pair = data.load(item)
        assert pair is not None
        np.testing.assert_array_equal(pair[0], read(tmp_path / "low" / item.name))
    pairs = pairs_of(tmp_path / "low", folder, view=View())
    for item in pairs.items:
        low, same = pairs.load(item), data.load(item)
        assert low is not None
        assert same is not None
        np.testing.assert_array_equal(low[0], same[0])
        np.testing.assert_array_equal(low[1], same[1])


def test_x4_gives_a_quarter_of_each_side_and_keeps_flat_colours(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1, 35)
    data = clean_pictures(tmp_path, recipe="none", seed=0, view=View(setting="x4"))
    pair = data.load(data.items[0])
    assert pair is not None
    assert [picture.shape for picture in pair] == [(8, 8, 3), (32, 32, 3)]
    flat = np.full((16, 16, 3), (10, 100, 200), np.uint8)
    np.testing.assert_array_equal(reduced(flat, 4), flat[:4, :4])
    # Antialiased: stripes finer than the outcome can show become their mean, not one of their colours.
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(reduced(stripes, 4)[2:-2, 2:-2].astype(int) - 100).max() <= 8


def test_x4_wants_four_pixels(tmp_path: Path) -> None:
    write_pictures(tmp_path / "clean", 1, side=3)
    data = clean_pictures(tmp_path / "clean", recipe="none", seed=0, view=View("x4"))
    with pytest.raises(UsageError, match=r"0\.png: 3x3 is too small for --setting x4"):
        run(data, brighter(0), tmp_path / "out")


def test_a_smaller_choice_is_part_of_a_larger_one(tmp_path: Path) -> None:
    data = clean(tmp_path, 12)
    chosen = {n: {item.name for item in select(data, limit=n).items} for n in (3, 7, 12)}
    assert chosen[3] < chosen[7] < chosen[12]
    assert chosen[12] == {item.name for item in data.items}
    with pytest.raises(UsageError, match="limit"):
        select(data, limit=0)


def test_the_list_of_files_has_one_hash_that_sees_contents_and_names(tmp_path: Path) -> None:
    data = clean(tmp_path / "a", 4)
    other = clean(tmp_path / "b", 4)
    before = data.sha256()
    assert other.sha256() == before
    (tmp_path / "b/1.png").rename(tmp_path / "b/one.png")
    renamed = clean_pictures(tmp_path / "b", recipe="none", seed=0, view=View())
    assert renamed.sha256() != before
    Image.fromarray(picture(50)).save(tmp_path / "a/1.png")
    assert data.sha256() != before


def test_faces_that_are_not_found_are_named_and_left_out(tmp_path: Path) -> None:
    write_pictures(tmp_path / "clean", 4)

    def find(pixels: np.ndarray) -> np.ndarray | None:
        return None if (pixels == picture(1)).all() else np.array([[2.0, 0, 0], [0, 2.0, 0]])

    items = clean_pictures(tmp_path / "clean", recipe="none", seed=0, view=View()).items
    data = Data(items, View(align=64), "clean", find=find)
    results = run(data, brighter(1), tmp_path / "out")
    assert results.names == ("0.png", "2.png", "below/3.png")
    assert results.facts["data"]["without_face"] == ["1.png"]
    assert read(tmp_path / "out/pictures/truth/0.png").shape == (64, 64, 3)


def test_a_reference_set_is_cut_to_its_faces_as_the_results_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a distance of identities would compare faces with whole photos."""
    folder, photo = tmp_path / "photos", astronaut()
    folder.mkdir()
    for name, shown in (("left", photo), ("right", photo[:, ::-1]), ("wall", np.full_like(photo, 90))):
        Image.fromarray(np.ascontiguousarray(shown)).save(folder / f"{name}.png")
    seen = []

    def features(pictures: Any) -> Any:
        seen.append(tuple(pictures.shape))
        return pictures.mean((2, 3))

    metric = Metric(METRICS_TABLE["frechet_identity"].spec, {}, features)
    results = evaluate(
        outputs_only(folder, view=View()), brighter(0), [metric], tmp_path / "out", reference=folder
    )
    assert results.sets["frechet_identity"]["+0"] == pytest.approx(0, abs=1e-9)
    assert seen == [(1, 3, 256, 256)] * 4  # nobody is on the wall

    # A picture of the same name has another face in another place.
    Image.fromarray(np.ascontiguousarray(photo[:, ::-1])).save(folder / "left.png")
    other = tmp_path / "other"
    other.mkdir()
    for name in ("left", "right"):
        Image.fromarray(photo).save(other / f"{name}.png")
    monkeypatch.chdir(other)
    kept = evaluate(
        outputs_only(folder, view=View()), brighter(0), [metric], tmp_path / "2", reference=Path()
    )
    assert kept.sets["frechet_identity"]["+0"] < 1e-4  # the same face, mirrored


def test_a_picture_that_cannot_be_read_is_no_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pictures(tmp_path / "in", 2)
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:60])
    arguments = ["--clean", str(folder), "--recipe", "none", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--methods", "input", "--metrics", "psnr"]) == 1
    assert "1.png: " in capsys.readouterr().err


@pytest.mark.parametrize("twice", ["clean", "low"])
def test_methods_and_metrics_are_checked_before_the_names_of_pictures(
    twice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, low, out = write_pictures(tmp_path / "clean", 2), tmp_path / "low", tmp_path / "out"
    write_pictures(low, 2)
    Image.open(folder / "1.png").save(tmp_path / twice / "1.jpg")
    data = ["--clean", str(folder), "--recipe", "none"]
    if twice == "low":
        data = ["--pairs", str(low), str(folder)]
    for methods, metrics, told in (
        ("nope", "psnr", "nope"),
        ("input", "nope", "no metric is called nope"),
        ("input", "psnr", f"{tmp_path / twice} has 1.jpg and 1.png: their results would have one name"),
    ):
        assert main([*data, "--out", str(out), "--methods", methods, "--metrics", metrics]) != 0
        assert told in capsys.readouterr().err
    assert not out.exists()


def test_pairs_must_fit_each_other_and_the_setting(tmp_path: Path) -> None:
    write_pictures(tmp_path / "high", 3)
    write_pictures(tmp_path / "low", 3, 8)
    data = pairs_of(tmp_path / "low", tmp_path / "high", view=View(setting="x4"))
    results = run(data, brighter(0), tmp_path / "out")
    assert results.values.shape == (3, 1, 2)
    wrong = pairs_of(tmp_path / "low", tmp_path / "high", view=View())
    with pytest.raises(UsageError, match="same-size"):
        wrong.load(wrong.items[0])
    (tmp_path / "low/1.png").unlink()
    with pytest.raises(UsageError, match="has no 1"):
        pairs_of(tmp_path / "low", tmp_path / "high", view=View())


def test_without_truths_only_what_needs_none_is_measured(tmp_path: Path) -> None:
    data = outputs_only(write_pictures(tmp_path, 2), view=View())
    for name, says in (("psnr", "truths"), ("fid", "--reference"), ("nothing", "no metric")):
        with pytest.raises(UsageError, match=says):
            open_metrics([name], data)


def test_a_standard_test_counts_its_pictures(tmp_path: Path) -> None:
    write_pictures(tmp_path, 3)
    counts = {name: test.count for name, test in STANDARD_TESTS.items()}
    # As their authors state them.
    assert counts == {
        "celeba-test": 3000,
        "lfw-test": 1711,
        "celebchild-test": 180,
        "webphoto-test": 407,
        "celeba-1pct": 202_599,
        "progressive-16": 2650,
        "progressive-128": 2650,
    }
    for name, test in STANDARD_TESTS.items():
        with pytest.raises(UsageError, match=f"{name} has {test.count:,} pictures"):
            test.data(tmp_path)


def test_a_whole_standard_test_has_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path, 3)
    from dataclasses import replace

    blind = replace(STANDARD_TESTS["celeba-test"], count=3).data(tmp_path)
    assert (blind.recipe, blind.view.size, blind.view.faces, blind.has_truth) == ("gfpgan", 512, True, True)
    pair = blind.load(blind.items[0])
    assert pair is not None
    assert pair[0].shape == (512, 512, 3)
    real = replace(STANDARD_TESTS["webphoto-test"], count=3).data(tmp_path)
    assert not real.has_truth
    small = replace(STANDARD_TESTS["progressive-16"], count=3).data(tmp_path)
    assert small.recipe == "progressive-16"
    assert not small.view.faces


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = str(write_pictures(tmp_path / "clean", 3)), str(tmp_path / "out")
    arguments = ["--clean", folder, "--recipe", "gfpgan", "--seed", "1", "--out", out]
    assert main([*arguments, "--methods", "input,bicubic", "--metrics", "psnr"]) == 0
    assert "| bicubic |" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        ".revisage-evaluate",
        "images.csv",
        "index.html",
        "pictures",
        "results.json",
        "sheet.png",
        "table.md",
        "table.tex",
    ]


def test_unasked_only_the_first_embedded_face_and_scene_model_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    face, scene, detector = (CATALOGUE[f"revisage-{name}"] for name in ("face-256", "scene-x2", "finder"))
    small, own = replace(face, name="of-thumbnails"), replace(face, name="own")
    models = [Model(spec, EMBEDDED / spec.file) for spec in (detector, scene, face, small)]
    monkeypatch.setattr("revisage.cli.evaluate.zoo.installed", lambda: [Model(own, tmp_path / "x"), *models])
    assert default_methods() == ("input", "bicubic", "revisage-face-256", "revisage-scene-x2")


def test_bad_usage_is_told_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVISAGE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, out = str(write_pictures(tmp_path / "clean", 3)), str(tmp_path / "out")
    degraded = ["--clean", folder, "--recipe", "gfpgan", "--out", out, "--methods", "input"]
    for arguments, code, says in (
        (["--out", out], 2, "give one of"),
        (["--clean", folder, "--images", folder, "--out", out], 2, "give one of"),
        (["--clean", folder, "--out", out], 2, "--recipe"),
        (["--clean", folder, "--recipe", "wrong", "--out", out], 2, "no recipe"),
        (["--test", "wrong", "--data", folder, "--out", out], 2, "no test"),
        (["--test", "lfw-test", "--data", folder, "--out", out], 2, "1,711"),
        ([*degraded, "--metrics", "psnr,wrong"], 2, "no metric"),
        ([*degraded, "--metrics", "psnr,psnr"], 2, "twice"),
        ([*degraded, "--metrics", "psnr", "--methods", "wrong"], 2, "no model"),
        ([*degraded, "--metrics", "psnr", "--methods", "input,input"], 2, "two methods"),
        ([*degraded, "--metrics", "niqe"], 1, "models pull niqe"),
        ([*degraded, "--metrics", "psnr", "--groups", "nowhere.csv"], 2, "nowhere.csv"),
        ([*degraded, "--metrics", "psnr", "--limit", "0"], 2, "--limit"),
        ([*degraded, "--metrics", "psnr", "--align", "64", "--size", "64"], 2, "--align"),
    ):
        assert main(arguments) == code, arguments
        assert says in capsys.readouterr().err, arguments
    assert not Path(out).exists()
