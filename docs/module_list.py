"""The directive `{modules} PACKAGE`: a section with the docstrings of each module of a package and below.

Nothing is listed by hand: a new module is in the reference when the page is built.
"""

from __future__ import annotations

import importlib
import pkgutil

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def modules_of(package: str) -> list[str]:
    """The modules of a package and of those inside it, in order, without private ones."""
    found = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    return sorted(m.name for m in found if not m.ispkg and not m.name.rpartition(".")[2].startswith("_"))


class Modules(SphinxDirective):
    """A section for each module, named without the package."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package, sections = self.arguments[0], []
        for name in modules_of(package):
            title = name.removeprefix(f"{package}.")
            section = nodes.section(names=[title], ids=[name.replace(".", "-").replace("_", "-")])
            section += nodes.title(text=title)
            text = StringList(["```{eval-rst}", f".. automodule:: {name}", "   :members:", "```"], name)
            self.state.nested_parse(text, 0, section)
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("modules", Modules)
    return {"parallel_read_safe": True}
