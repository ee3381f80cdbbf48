"""Run what a page of the documentation tells its reader to type, in one shell, and compare what it shows.

    python docs/run_page.py docs/tutorial/album.md --take compare.jpg docs/pictures/album.jpg

A page is run in a folder that has the checkout's `examples`, as if it were the checkout:

- ```` ```sh ```` is typed; a command that fails ends the page;
- ```` ```{code-block} python ```` with `:caption: NAME` is a file that the reader saves where the shell is;
- ```` ```text ```` below a block that is typed is what it prints, its lines in any order (photos are restored
  two at a time); `...` stands for anything within a line.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARK = "== end of a block of the page =="
BLOCK = re.compile(r"^```(sh|text|\{code-block\} python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CAPTION = re.compile(r":caption: (\S+)\n\n?")


@dataclass
class Step:
    """What is typed (shell), and the text that the page shows below it; None where it shows none."""

    typed: str
    shown: str | None = None
    printed: str = field(default="", compare=False)

    def holds(self) -> bool:
        """Whether what was printed is what is shown."""
        if self.shown is None:
            return True
        left = self.printed.strip().splitlines()
        for line in self.shown.strip().splitlines():
            pattern = re.escape(line).replace(re.escape("..."), ".*")
            same = next((there for there in left if re.fullmatch(pattern, there)), None)
            if same is None:
                return False
            left.remove(same)
        return not left


def steps(page: Path) -> list[Step]:
    """The page's blocks, in order; a file to be saved becomes the command that writes it."""
    found: list[Step] = []
    for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "sh":
            found.append(Step(body))
        elif kind == "text":
            assert found, f"{page}: output without a command:\n{body}"
            found[-1].shown = body
        elif caption := CAPTION.match(body):
            found.append(Step(f"cat > {caption[1]} <<'END_OF_FILE'\n{body[caption.end() :]}END_OF_FILE\n"))
    return found


def run(todo: list[Step], folder: Path, *, timeout: float = 600) -> None:
    """Run the steps in one shell that starts in `folder`, and note what each prints, errors too.

    Raises RuntimeError with what was printed when a command fails.
    """
    if not (folder / "examples").exists():
        (folder / "examples").symlink_to(ROOT / "examples")
    script = "\n".join(["set -e", "exec 2>&1", *(f"{step.typed}\necho '{MARK}'" for step in todo)])
    # The commands of the Python that runs this one come first: on a page they are the reader's environment.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        # Models that a page imports go into a folder of its own.
        env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "XDG_CACHE_HOME": str(folder / ".cache")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=timeout,
    )
    printed = done.stdout.split(MARK + "\n")
    for step, text in zip(todo, printed, strict=False):
        step.printed = text
    if done.returncode:
        failed = todo[min(len(printed), len(todo)) - 1]
        raise RuntimeError(f"exit code {done.returncode}:\n{failed.typed}\nprinted:\n{failed.printed}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument(
        "--take", nargs=2, type=Path, metavar=("FILE", "TO"), help="a file that the page makes"
    )
    options = parser.parse_args()
    todo = [step for step in steps(options.page) if "pip install" not in step.typed]
    with tempfile.TemporaryDirectory() as folder:
        run(todo, Path(folder))
        for step in todo:
            print(f"$ {step.typed}{step.printed}", end="")
            if not step.holds():
                print(f"BUT THE PAGE SHOWS\n{step.shown}")
        if options.take:
            name, to = options.take
            (found,) = Path(folder).rglob(name.name)
            shutil.copyfile(found, to)
    return 0 if all(step.holds() for step in todo) else 1


if __name__ == "__main__":
    raise SystemExit(main())
