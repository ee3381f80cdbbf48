"""The pages of the documentation: their pictures, their cards, and the tools that check them."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
sys.path.insert(0, str(DOCS))

import check_links  # noqa: E402
from run_page import Step, run, steps  # noqa: E402

from revisage import cli  # noqa: E402
from revisage.zoo import CATALOGUE  # noqa: E402

PICTURE = re.compile(r"!\[[^]]*\]\(([^)]+)\)")
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \|$", re.MULTILINE)


def pages() -> list[Path]:
    return [README, *(page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts)]


def test_every_picture_of_a_page_is_there_and_has_a_command_that_makes_it() -> None:
    table = dict(ROW.findall((DOCS / "pictures" / "README.md").read_text()))
    shown = {
        (page.parent / link).resolve()
        for page in pages()
        for link in PICTURE.findall(page.read_text())
        if "://" not in link
    }
    there = {path for path in (DOCS / "pictures").iterdir() if path.suffix != ".md"}
    assert shown == there
    assert {path.name for path in there} == set(table)
    for picture, command in table.items():
        python, program, *arguments = shlex.split(command)
        source = (ROOT / program).read_text()
        assert python == "python"
        assert picture in source or f"docs/pictures/{picture}" in arguments, command


def test_every_embedded_model_has_its_card_on_the_site() -> None:
    included = re.findall(r"weights/([\w-]+)\.md", (DOCS / "reference" / "models.md").read_text())
    cards = [path.stem for path in (ROOT / "src" / "revisage" / "zoo" / "weights").glob("*.md")]
    assert sorted(included) == sorted(cards)


CARDS = ROOT / "src" / "revisage" / "zoo" / "weights"
FACTS = ("network", "licence", "data", "held out", "training", "budget")


@pytest.mark.parametrize("name", sorted(path.stem for path in CARDS.glob("*.md")))
def test_a_card_is_of_the_catalogues_version_and_says_what_every_card_says(name: str) -> None:
    card, spec = (CARDS / f"{name}.md").read_text(), CATALOGUE[name]
    assert card.startswith(f"# {name}, version {spec.version}\n")
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (.+) \|$", card, re.MULTILINE))
    assert set(FACTS) <= set(rows)
    assert spec.licence in rows["licence"]
    assert "seed" in rows["budget"]
    assert spec.bytes is not None
    assert f"{spec.bytes / 2**20:.1f} MiB" in rows["network"]
    assert "\n## Figures\n" in card
    assert "\n## Limits\n" in card
    assert "python benchmarks/" in card
    assert "95 %" in card


def test_the_readme_lists_the_embedded_models_with_their_sizes() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| ([\d.]+ MiB) \| \[card\]", README.read_text(), re.MULTILINE)
    assert dict(rows) == {
        path.stem: f"{path.with_suffix('.onnx').stat().st_size / 2**20:.1f} MiB"
        for path in CARDS.glob("*.md")
    }
    count = {7: "seven", 8: "eight", 9: "nine", 10: "ten"}[len(rows)]
    assert f"All {count} are embedded" in README.read_text()


def trainings() -> list[str]:
    """Every `revisage train` command of the pages that is whole, on one line."""
    texts = [path.read_text() for path in [*pages(), *(ROOT / "benchmarks").glob("*.md")]]
    lines = [line for text in texts for line in text.replace("\\\n", " ").splitlines()]
    found = [line.partition("revisage train ")[2] for line in lines if line.startswith("revisage train ")]
    return [re.split(r" [>#]", command)[0] for command in found if " --data " in command]


def test_the_trainings_that_the_pages_show_have_settings_that_exist() -> None:
    pytest.importorskip("torch")
    from revisage.cli._parse import parse
    from revisage.cli.train import Options, _pair, _system, override
    from revisage.lab.train import presets
    from revisage.lab.train.settings import flat

    commands = trainings()
    assert len(commands) > 15
    for command in commands:
        options = parse(Options, "train", shlex.split(command))
        preset = presets.choose(_system(options), options.preset)
        changes, settings = dict(map(_pair, options.set)), preset.task(options.data)
        assert set(changes) <= set(flat(preset.loop) | flat(settings)), command
        override(preset.loop, changes)
        override(settings, changes)


def test_every_code_of_the_servers_errors_is_in_the_table() -> None:
    table = (DOCS / "server.md").read_text()
    sources = "".join(path.read_text() for path in (ROOT / "src/revisage/server").rglob("*.py"))
    codes = set(re.findall(r"""\b4\d\d[,:] "([a-z-]+)\"""", sources))
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in table} == set()


def test_every_parameter_of_the_server_is_told() -> None:
    schemas = pytest.importorskip("revisage.server.schemas")
    [told] = (text for text in (DOCS / "server.md").read_text().split("\n\n") if "query parameters" in text)
    assert {name for name in schemas.PhotoQuery.model_fields if f"`{name}`" not in told} == set()


def test_the_measuring_that_the_readme_shows_needs_no_weights() -> None:
    pytest.importorskip("torch")
    from revisage.lab.metrics.table import METRICS

    [chosen] = re.findall(r"^revisage evaluate .*\\\n.*--metrics ([\w,]+)", README.read_text(), re.MULTILINE)
    assert not any(METRICS[name].spec.weights for name in chosen.split(","))


COMMAND = re.compile(
    r"(?:^|`|\$ )(?:[A-Z_]+=\S+ )*(revisage|python (?:benchmarks|docs)/[\w/]+\.py) ([^`\n]+)", re.MULTILINE
)


def told_options() -> list[tuple[Path, list[str], str]]:
    """Each option that a page gives to a command of ours: the page, the command's words, the option."""
    found = []
    for page in [*pages(), *(ROOT / "benchmarks").glob("*.md"), *CARDS.glob("*.md")]:
        for program, rest in COMMAND.findall(page.read_text().replace("\\\n", " ")):
            words = [*program.split(), *re.split(r" +[>#|&;]", rest)[0].split()]
            found += [(page, words, word.partition("=")[0]) for word in words if re.match(r"--?[a-z]", word)]
    return found


def test_the_options_that_the_pages_give_exist() -> None:
    from revisage.cli import COMMANDS

    told = told_options()
    assert len(told) > 250
    texts: dict[tuple[str, ...], str] = {}
    for page, words, option in told:
        if words[0] == "python":
            text = texts.setdefault((words[1],), (ROOT / words[1]).read_text())
            assert f'"{option}"' in text, (page, words)
            continue
        key = tuple(
            words[1:3] if words[1] == "models" else words[1:2] if words[1] in COMMANDS else ("restore",)
        )
        if option not in ("--help", "--version"):
            text = texts.get(key) or texts.setdefault(key, help_text(*key))
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), (page, words)


def help_text(*command: str) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert cli.main([*command, "--help"]) == 0
    return shown.getvalue()


def test_the_help_of_every_command_is_asked_for() -> None:
    pytest.importorskip("sphinx", reason="needs pip install revisage[docs]")
    from command_help import help_of, subcommands

    assert "--strength 0..1" in help_of("restore")
    assert subcommands(help_of("models")) == ["list", "info", "pull", "import"]
    assert subcommands(help_of("restore")) == []
    assert "usage: revisage models pull" in help_of("models", "pull")


def test_a_dead_link_and_a_dead_anchor_are_told(tmp_path: Path) -> None:
    (tmp_path / "one.html").write_text('<h1 id="top">1</h1><a href="two.html#here">2</a><img src="gone.png">')
    (tmp_path / "two.html").write_text(
        '<a href="one.html#top">up</a><a href="#nowhere">x</a><a href="https://example.org/">out</a>'
    )
    dead, outside = check_links.dead_links(tmp_path)
    assert dead == ["one.html: two.html#here", "one.html: gone.png", "two.html: #nowhere"]
    assert outside == 1


def test_a_page_is_run_as_it_is_typed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n```sh\nname=Ann\n```\n\n"
        "```{code-block} python\n:caption: hello.py\n\nimport sys\n\nprint(f'hello {sys.argv[1]}')\n```\n\n"
        "```sh\npython hello.py $name\n```\n\n```text\nhello ...\n```\n\n```python\nnot_run()\n```\n"
    )
    todo = steps(page)
    run(todo, tmp_path)
    assert [step.printed for step in todo] == ["", "", "hello Ann\n"]
    assert all(step.holds() for step in todo)
    assert not Step("", shown="hello Bob").holds()
    assert not Step("", shown="a\nb", printed="a").holds()
    assert not Step("", shown="a", printed="a\nb").holds()
    with pytest.raises(RuntimeError, match=r"(?s)exit code 3.*false start"):
        run([Step("echo fine"), Step("echo false start; exit 3")], tmp_path)
