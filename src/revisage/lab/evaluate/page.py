"""One HTML page: the table, and before/after sliders over the results. It asks nothing of other machines."""

from __future__ import annotations

import html
import json
from pathlib import Path
from urllib.parse import quote

from revisage.lab.evaluate.results import Results
from revisage.lab.evaluate.run import picture_of
from revisage.lab.evaluate.sheet import columns, spread
from revisage.lab.evaluate.tables import best, caption, cell

SHOWN = 40

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222}
.scroll{overflow-x:auto}table{border-collapse:collapse}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
.choose{position:sticky;top:0;background:#fffe;padding:.6rem 0;z-index:2}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(18rem,1fr));gap:1.2rem}
figure{margin:0}figcaption{overflow-wrap:anywhere;font-size:.85rem;color:#555}
.pair{position:relative;background:#eee}.pair img{display:block;width:100%}
.pair .over{position:absolute;inset:0;clip-path:inset(0 calc(100% - var(--at)) 0 0)}
.pair::after{content:"";position:absolute;top:0;bottom:0;left:var(--at);width:2px;background:#fff;
box-shadow:0 0 3px #000;pointer-events:none}
.pair input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize}
.pair:focus-within{outline:2px solid #06c;outline-offset:2px}
td.best{font-weight:bold}
"""

_SCRIPT = """
const shown=JSON.parse(document.getElementById("columns").textContent);
const choose=["left","right"].map(id=>document.getElementById(id));
function show(){for(const pair of document.querySelectorAll(".pair")){
const name=pair.dataset.name;
pair.querySelector(".over").src=shown[choose[0].value]+name;
pair.querySelector(".under").src=shown[choose[1].value]+name}}
choose.forEach(select=>select.addEventListener("change",show));
for(const range of document.querySelectorAll(".pair input"))
range.addEventListener("input",()=>range.parentElement.style.setProperty("--at",range.value+"%"));
"""


def page(results: Results, out: Path) -> str:
    """The text of OUT/index.html, whose pictures lie in OUT/pictures."""
    shown = columns(results, out)
    left, right = 0, max(range(len(results.methods)), key=lambda i: (_is_model(shown[i][0]), -i))
    addresses = [quote(folder.relative_to(out).as_posix()) + "/" for _, folder in shown]
    choices = [_options([title for title, _ in shown], chosen) for chosen in (left, right)]
    figures = "\n".join(
        _figure(picture_of(Path(), name).as_posix(), name, addresses[left], addresses[right])
        for name in spread(results.names, SHOWN)
    )
    columns_json = json.dumps(addresses).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Revisage: comparison</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Comparison</h1>
<div class="scroll">{_table(results)}</div>
<p>{html.escape(caption(results))}</p>
<p class="choose"><label>left <select id="left">{choices[0]}</select></label>
<label>right <select id="right">{choices[1]}</select></label>
Drag across a picture, or use the arrow keys.</p>
<div class="pictures">
{figures}
</div>
<script type="application/json" id="columns">{columns_json}</script>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _is_model(title: str) -> bool:
    return title not in ("input", "bicubic", "truth")


def _options(titles: list[str], chosen: int) -> str:
    return "".join(
        f'<option value="{i}"{" selected" if i == chosen else ""}>{html.escape(title)}</option>'
        for i, title in enumerate(titles)
    )


def _table(results: Results) -> str:
    head = "".join(f"<th>{html.escape(spec.name)}</th>" for spec in results.metrics)
    winners = {spec.name: best(results, spec) for spec in results.metrics}
    rows = []
    for method in results.methods:
        cells = "".join(
            f'<td class="{"best" if method in winners[spec.name] else ""}">'
            f"{html.escape(cell(results.summary(method, spec.name), spec))}</td>"
            for spec in results.metrics
        )
        rows.append(f"<tr><td>{html.escape(method)}</td>{cells}</tr>")
    return f"<table><thead><tr><th>method</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _figure(file: str, name: str, left: str, right: str) -> str:
    address, label = html.escape(quote(file)), html.escape(name)
    return (
        f'<figure><div class="pair" style="--at:50%" data-name="{address}">'
        f'<img class="under" loading="lazy" alt="{label}, right" src="{html.escape(right)}{address}">'
        f'<img class="over" loading="lazy" alt="{label}, left" src="{html.escape(left)}{address}">'
        f'<input type="range" min="0" max="100" value="50" aria-label="{label}, share of the left picture">'
        f"</div><figcaption>{label}</figcaption></figure>"
    )
