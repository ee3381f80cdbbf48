"""Run the evaluations whose tables stand in docs/evaluate.md and docs/groups.md, and put the tables there.

    python docs/measure.py [--shared ../shared] [--out runs/measure] [--limit 100]

Started again with the same --out it goes on where it was; models that changed are measured again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from revisage import cli

DOCS = Path(__file__).parent


def runs(data: Path) -> dict[str, list[str]]:
    """Name of each table -> the arguments of `revisage evaluate`, but for folders and the limit."""
    faces = ["--clean", str(data / "faces256"), "--aligned", "--split", "held-out", "--seed", "0"]
    groups = ["--clean", str(data / "groups200"), "--groups", str(data / "groups200.csv"), "--seed", "0"]
    figures = "psnr,ssim,ms_ssim,lpips_squeeze,niqe,degrees"
    return {
        "faces": [*faces, "--recipe", "gfpgan", "--metrics", f"{figures},expression_changed"],
        "x4": [*faces, "--recipe", "none", "--setting", "x4", "--metrics", figures],
        "groups": [
            *groups,
            *("--recipe", "gfpgan", "--align", "256"),
            *("--methods", "input,revisage-face-256,revisage-scene-x2"),
            *("--metrics", "psnr,ssim,lpips_squeeze,niqe,degrees"),
        ],
    }


TABLES = {
    "faces": ("evaluate.md", "table.md"),
    "x4": ("evaluate.md", "table.md"),
    "groups": ("groups.md", "groups.md"),
}


def put(page: Path, name: str, table: str) -> None:
    """Replace what stands between the marks of a table in a page."""
    text = page.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    assert found, f"{page} has no {start}"
    assert closed, f"{page} has no {end}"
    page.write_text(f"{before}{start}\n{table.strip()}\n\n{end}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=DOCS.parents[1] / "shared")
    parser.add_argument("--out", type=Path, default=Path("runs/measure"))
    parser.add_argument("--limit", type=int, default=100, help="pictures of each evaluation")
    parser.add_argument("--only", choices=TABLES, help="this one alone")
    options = parser.parse_args()
    weights = ["--weights", str(options.shared / "models"), "--threads", "1", "--limit", str(options.limit)]
    for name, arguments in runs(options.shared / "data").items():
        if options.only in (None, name):
            out = options.out / name
            code = cli.main(["evaluate", *arguments, *weights, "--out", str(out)])
            if code:
                return code
            page, table = TABLES[name]
            put(DOCS / page, name, (out / table).read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
