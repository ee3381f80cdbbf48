"""Check the links of the built site: every file and anchor that a page names must be there.

    python docs/check_links.py docs/_build/html

Prints each dead link and ends with 1 if there is any. Links to other sites are counted, not fetched.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Pages that Sphinx makes for itself.
MADE = frozenset({"genindex.html", "py-modindex.html", "search.html"})


class Page(HTMLParser):
    """The anchors and the links of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value is None:
                continue
            if name == "id":
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.append(value)


def dead_links(site: Path) -> tuple[list[str], int]:
    """What is wrong, a line each, and how many different links lead to other sites."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    dead, outside = [], set()
    for path, page in pages.items():
        if path.name in MADE:
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                outside.add(link)
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            known = pages.get(target)
            if not target.exists() or (anchor and known is not None and anchor not in known.anchors):
                dead.append(f"{path.relative_to(site.resolve())}: {link}")
    return dead, len(outside)


def main() -> int:
    dead, outside = dead_links(Path(sys.argv[1]))
    print("\n".join([*dead, f"{len(dead)} dead links; {outside} links to other sites, not fetched"]))
    return 1 if dead else 0


if __name__ == "__main__":
    raise SystemExit(main())
