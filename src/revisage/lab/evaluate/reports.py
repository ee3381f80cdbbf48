"""Writing results down: results.json, images.csv, tables, a contact sheet, and a page with sliders."""

import html
import json
import math
from collections.abc import Sequence
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from revisage.files import write_atomically
from revisage.image import Photo, encode
from revisage.lab.data.pictures import fit
from revisage.lab.data.prepare.tables import as_csv
from revisage.lab.evaluate.data import read
from revisage.lab.evaluate.results import Results
from revisage.lab.evaluate.run import folder_of, picture_of, truth_folder
from revisage.lab.evaluate.tables import caption, groups_markdown, latex, markdown, rows

SHOWN = 40
ROWS = 8
_CELL, _STRIP, _GAP = 192, 22, 2  # pixels of the sheet


def write_reports(results: Results, out: Path) -> list[Path]:
    """Everything but the pictures, which `evaluate` has written. Returns the files. The same results give the
    same bytes. Raises SaveError when a file cannot be written."""
    files = {
        "results.json": json.dumps(results.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "images.csv": _images(results),
        "table.md": markdown(results),
        "table.tex": latex(results),
        "index.html": page(results, out),
    }
    if results.labels is not None:
        files["groups.md"] = groups_markdown(results)
    for name, text in files.items():
        write_atomically(out / name, text.encode())
    draw_sheet(results, out, out / "sheet.png")
    return [*(out / name for name in files), out / "sheet.png"]


def _images(results: Results) -> str:
    """image, method, a column a metric; empty where there is no value."""
    columns = {spec.name: i for i, spec in enumerate(results.metrics) if spec.name not in results.sets}
    lines = []
    for name, row in zip(results.names, results.values[..., list(columns.values())], strict=True):
        for label, values in zip(results.methods, row, strict=True):
            lines.append([name, label, *("" if math.isnan(v) else repr(float(v)) for v in values)])
    return as_csv(("image", "method", *columns), lines).decode()


def columns(results: Results, out: Path) -> list[tuple[str, Path]]:
    """Title and folder of each column: the input first, the truth last where there is one."""
    folders = [(label, folder_of(out, label, i)) for i, label in enumerate(results.methods)]
    folders.sort(key=lambda column: column[0] != "input")  # stable: the others keep their order
    if results.facts["data"]["kind"] != "images":
        folders.append(("truth", truth_folder(out)))
    return folders


def spread(names: Sequence[str], count: int) -> list[str]:
    """At most `count` of the names, evenly spread over them."""
    count = min(count, len(names))
    return [names[i * len(names) // count] for i in range(count)]


def draw_sheet(results: Results, out: Path, path: Path) -> None:
    """Draw at most `ROWS` pictures into a PNG. Raises SaveError when it cannot be written."""
    shown = columns(results, out)
    rows = spread(results.names, ROWS)
    height, width = _STRIP + len(rows) * (_CELL + _GAP), len(shown) * (_CELL + _GAP) - _GAP
    canvas = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    for x, (title, folder) in enumerate(shown):
        left = x * (_CELL + _GAP)
        draw.text((left + 3, 3), _shortened(title, font), fill="black", font=font)
        for y, name in enumerate(rows):
            picture = read(picture_of(folder, name))
            scale = _CELL / max(picture.shape[:2])
            cell = Image.fromarray(fit(picture, *(max(1, round(n * scale)) for n in picture.shape[:2])))
            top = _STRIP + y * (_CELL + _GAP)
            canvas.paste(cell, (left + (_CELL - cell.width) // 2, top + (_CELL - cell.height) // 2))
    write_atomically(path, encode(Photo(np.array(canvas)), format="PNG"))


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= _CELL - 6:
        return text
    while len(text) > 1 and font.getlength(text + "…") > _CELL - 6:
        text = text[:-1]
    return text + "…"


def page(results: Results, out: Path) -> str:
    """The text of OUT/index.html, whose pictures lie in OUT/pictures; it asks nothing of other machines."""
    shown = columns(results, out)
    plain = [title in ("input", "bicubic", "truth") for title, _ in shown[: len(results.methods)]]
    left, right = 0, plain.index(False) if False in plain else 0
    addresses = [quote(folder.relative_to(out).as_posix()) + "/" for _, folder in shown]
    choices = [_options([title for title, _ in shown], chosen) for chosen in (left, right)]
    figures = "\n".join(
        _figure(picture_of(Path(), name).as_posix(), name, addresses[left], addresses[right])
        for name in spread(results.names, SHOWN)
    )
    template = Path(__file__).with_name("page.html").read_text("utf-8")
    return Template(template).substitute(
        table=_table(results), caption=html.escape(caption(results)), left=choices[0], right=choices[1],
        figures=figures, columns=json.dumps(addresses).replace("<", "\\u003c"),
    )  # fmt: skip


def _options(titles: list[str], chosen: int) -> str:
    return "".join(
        f'<option value="{i}"{" selected" if i == chosen else ""}>{html.escape(title)}</option>'
        for i, title in enumerate(titles)
    )


def _table(results: Results) -> str:
    head = "".join(f"<th>{html.escape(spec.name)}</th>" for spec in results.metrics)
    body = ""
    for method, cells in rows(results):
        tds = (f'<td class="{"best" if won else ""}">{html.escape(text)}</td>' for text, won in cells)
        body += f"<tr><td>{html.escape(method)}</td>{''.join(tds)}</tr>"
    return f"<table><thead><tr><th>method</th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(file: str, name: str, left: str, right: str) -> str:
    address, label = html.escape(quote(file)), html.escape(name)
    return (
        f'<figure><div class="pair" style="--at:50%" data-name="{address}">'
        f'<img class="under" loading="lazy" alt="{label}, right" src="{html.escape(right)}{address}">'
        f'<img class="over" loading="lazy" alt="{label}, left" src="{html.escape(left)}{address}">'
        f'<input type="range" min="0" max="100" value="50" aria-label="{label}, share of the left picture">'
        f"</div><figcaption>{label}</figcaption></figure>"
    )
