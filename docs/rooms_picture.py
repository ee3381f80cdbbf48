"""The picture of the rooms in `docs/explanations/architecture.md`: python docs/rooms_picture.py"""

from __future__ import annotations

from pathlib import Path

TARGET = Path(__file__).parent / "pictures" / "rooms.svg"
BLUE, ORANGE, VIOLET = ("#e3eef9", "#5b8fc0"), ("#fbe9d7", "#c98542"), ("#ece8f6", "#8573b8")
WIDTH, HEIGHT = 760, 430

# x, y, width, height, name, what it is for, colours
ROOMS = (
    (20, 20, 720, 50, "cli", "one file a command; imports a room when a command needs it", VIOLET),
    (20, 90, 215, 50, "server", "page, HTTP API, queue, workers", BLUE),
    (245, 90, 215, 50, "batch", "folders, archives, films, Ray", BLUE),
    (20, 160, 440, 50, "restore", "a photo, whole: analyse, then render", BLUE),
    (20, 230, 215, 50, "faces", "detect, align", BLUE),
    (245, 230, 215, 50, "label", "AI label, C2PA", BLUE),
    (20, 300, 140, 50, "image", "bytes and pixels", BLUE),
    (170, 300, 140, 50, "zoo", "models by name", BLUE),
    (320, 300, 140, 50, "runtime", "sessions", BLUE),
    (20, 370, 440, 40, "options · files · errors", "", BLUE),
    (512, 124, 104, 50, "train", "loop, tasks", ORANGE),
    (624, 124, 104, 50, "evaluate", "tables", ORANGE),
    (512, 184, 216, 50, "export", "to ONNX", ORANGE),
    (512, 244, 104, 50, "data", "pictures, points", ORANGE),
    (624, 244, 104, 50, "metrics", "one file each", ORANGE),
    (508, 304, 76, 42, "networks", "", ORANGE),
    (588, 304, 68, 42, "losses", "", ORANGE),
    (660, 304, 72, 42, "degrade", "", ORANGE),
)
REST = (
    '<line x1="482" y1="82" x2="482" y2="415" stroke="#b33" stroke-width="3" stroke-dasharray="8 5"/>',
    '<text x="476" y="350" transform="rotate(-90 476 350)" font-size="12" fill="#b33">the torch wall</text>',
    '<rect x="500" y="90" width="240" height="320" rx="8" fill="none" stroke="#c98542" stroke-width="1.5"/>',
    '<text x="515" y="112" font-weight="600" fill="#222">lab</text>',
    '<text x="545" y="112" font-size="12" fill="#555">needs [train]</text>',
    '<text x="522" y="378" font-size="12" fill="#555">these three know nobody else</text>',
)


def room(entry: tuple[int, int, int, int, str, str, tuple[str, str]]) -> str:
    x, y, width, height, name, about, (fill, stroke) = entry
    middle, line = x + width / 2, y + height / 2 + (-3 if about else 5)
    size = 13 if width < 80 else 15
    box = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{stroke}"/>'
    bold = f'text-anchor="middle" font-size="{size}" font-weight="600" fill="#222"'
    text = f'<text x="{middle}" y="{line}" {bold}>{name}</text>'
    small = (
        f'<text x="{middle}" y="{line + 18}" text-anchor="middle" font-size="12" fill="#555">{about}</text>'
    )
    return box + text + (small if about else "")


def main() -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    title = "<title>The rooms of Revisage, each importing only from those below it</title>"
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="#f7f6f3"/>'
    drawn = (room(entry) for entry in ROOMS)
    TARGET.write_text("\n".join((head, title, ground, *REST, *drawn, "</svg>")) + "\n")


if __name__ == "__main__":
    main()
