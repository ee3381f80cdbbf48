"""The directive `{command-help}`: for each command a section with what `revisage COMMAND --help` prints.

Nothing is copied: the text is asked for when the page is built.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from unittest.mock import patch

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from revisage.cli import COMMANDS, main
from revisage.cli.train import SYSTEMS

WIDTH = "88"
SUBCOMMANDS = re.compile(r"\{([a-z,]+)\}\s*$")


def help_of(*command: str) -> str:
    """The help of a command (("models", "pull")), as wide as a page, without boxes."""
    text = io.StringIO()
    with patch.dict(os.environ, COLUMNS=WIDTH), contextlib.redirect_stdout(text):
        code = main([*command, "--help"])
    assert code == 0, f"revisage {' '.join(command)} --help ends with {code}"
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())


def subcommands(text: str) -> list[str]:
    """The names in the braces at the end of a usage line."""
    found = SUBCOMMANDS.search(text.partition("\n")[0])
    return found[1].split(",") if found else []


class CommandHelp(SphinxDirective):
    """A section for each command, and in it the help of the command and of those below it."""

    def run(self) -> list[nodes.Node]:
        sections = []
        for name in COMMANDS:
            texts = [help_of(name)]
            below = SYSTEMS if name == "train" else subcommands(texts[0])
            texts += [help_of(name, word) for word in below]
            section = nodes.section(names=[name], ids=[name])
            section += nodes.title(text=name)
            section += [nodes.literal_block(text, text, language="text") for text in texts]
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
