"""The course: its chapters' shape here, whenever the tests run. `make docs` runs the chapters themselves."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COURSE = ROOT / "docs" / "course"
CELL = re.compile(r"^```\{code-cell\} python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"^(\w+) = ([\d.]+)  # change this", re.MULTILINE)

# Each chapter, in its order, and another value for the number that its reader is asked to change.
CHAPTERS = {
    "degradation": "0.5",
    "unet": "0.0",
    "prior": "0.1",
    "cs-sft": "1.5",
    "losses": "0.0",
    "whole-photo": "0.3",
}


def text_of(chapter: str) -> str:
    return (COURSE / f"{chapter}.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """What stands below a heading of the second level, up to the next."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section {title!r}"
    return found[1]


def test_the_index_has_every_chapter_in_its_order() -> None:
    listed = re.search(r"```\{toctree\}\n:maxdepth: 1\n\n(.*?)```", text_of("index"), re.DOTALL)
    assert listed is not None
    assert listed[1].split() == list(CHAPTERS)
    assert {page.stem for page in COURSE.glob("*.md")} == {"index", *CHAPTERS}
    for number, chapter in enumerate(CHAPTERS, start=1):
        assert f"\n# {number}. " in text_of(chapter)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_three_exercises_with_an_answer_each(chapter: str) -> None:
    text = text_of(chapter)
    assert re.findall(r"^(\d)\. ", section(text, "Exercises"), re.MULTILINE) == ["1", "2", "3"]
    _, *answers = re.split(r"^### Answer (\d)\n", section(text, "Answers"), flags=re.MULTILINE)
    assert answers[::2] == ["1", "2", "3"]
    for answer in answers[1::2]:
        assert len(answer.split()) > 20
        assert any("assert " in cell for cell in CELL.findall(answer)), "an answer that nothing checks"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_one_number_to_change_and_a_picture_of_it(chapter: str) -> None:
    text = text_of(chapter)
    ((name, value),) = NUMBER.findall(text)
    assert float(value) != float(CHAPTERS[chapter])
    _, *cells = CELL.findall(section(text, "A number to change"))
    assert any("show(" in cell for cell in cells)
    used = {node.id for cell in cells for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Name)}
    assert name in used


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_code_fits_the_page(chapter: str) -> None:
    for cell in CELL.findall(text_of(chapter)):
        assert max(len(line) for line in cell.splitlines()) <= 88


def run_chapter(chapter: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What `make` says when it is asked, as the index tells, for a chapter of a copy of the checkout."""
    (command,) = re.findall(r"^make chapter NAME=.*$", text_of("index"), re.MULTILINE)
    make, goal, _ = command.split()
    # The environment is the one that runs this test.
    environment = (f"BIN={Path(sys.executable).parent}", "-o", ".make-venv/.dev")
    return subprocess.run(
        [make, goal, f"NAME={chapter}", *environment], cwd=folder, capture_output=True, text=True, check=False
    )


def pictures(chapter: str, folder: Path) -> list[str]:
    """The pictures in the section of the number when the chapter is run, by the hash of their bytes."""
    done = run_chapter(chapter, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    page = folder / "docs" / "_build" / "chapter" / "course" / f"{chapter}.html"
    found = re.search(r'<section id="a-number-to-change">(.*?)</section>', page.read_text(), re.DOTALL)
    assert found is not None
    return re.findall(r'src="[^"]*/(\w+)\.png"', found[1])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a chapter needs of the checkout."""
    for module in ("myst_nb", "torch"):
        pytest.importorskip(module, reason="needs pip install revisage[train,docs]")
    if shutil.which("make") is None:
        pytest.skip("needs make")
    built = shutil.ignore_patterns("_build", "__pycache__")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=built)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_another_number_makes_another_picture(chapter: str, checkout: Path) -> None:
    before = pictures(chapter, checkout)
    page = checkout / "docs" / "course" / f"{chapter}.md"
    page.write_text(NUMBER.sub(rf"\1 = {CHAPTERS[chapter]}  # changed", text_of(chapter)), encoding="utf-8")
    after = pictures(chapter, checkout)
    assert before
    assert before[-1] != after[-1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_numbers_make_the_same_picture_and_a_wrong_answer_is_told(checkout: Path) -> None:
    assert pictures("degradation", checkout) == pictures("degradation", checkout)
    page = checkout / "docs" / "course" / "degradation.md"
    page.write_text(text_of("degradation").replace("assert not np", "assert np"), encoding="utf-8")
    done = run_chapter("degradation", checkout)
    assert done.returncode != 0
    assert "AssertionError" in done.stderr
