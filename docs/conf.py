"""The documentation site: `make docs` builds it from pages, docstrings and the commands' own help."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import revisage

sys.path.insert(0, str(Path(__file__).parent))

project = "Revisage"
copyright = "the Revisage authors, Apache licence 2.0"
version = release = revisage.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "command_help", "module_list"]
exclude_patterns = ["_build"]
highlight_language = "text"

myst_heading_anchors = 3

# The chapters of the course are run whenever the site is built, and their pictures are what comes out.
nb_execution_mode = "force"
nb_execution_timeout = 300  # seconds a cell; they take some on an idle core
nb_execution_show_tb = True  # a cell that fails is a warning, and so an error, and the page shows it
nb_output_stderr = "remove"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for them: small networks gain nothing from more

# Docstrings put code into single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_rtype = False
maximum_signature_line_length = 88
python_use_unqualified_type_names = True

# Names of our own must have a page; those of other libraries are links only where the site is online.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!revisage\.).*"),
    ("py:class", r".*\.[A-Z]"),
]  # the second: type variables

html_theme = "furo"
html_title = f"Revisage {release}"
html_show_copyright = False
html_show_sphinx = False

CARD = re.compile(r"\]\((?:\.\./)+src/revisage/zoo/weights/([\w-]+)\.md\)")


def link_cards(app: Sphinx, page: str, text: list[str]) -> None:
    """Links to a model's card, a file beside its weights, go to the site's page that includes it."""
    text[0] = CARD.sub(r"](#\1)", text[0])


def escape_bars(*event: object) -> None:
    """Docstrings write |x| for an absolute value, which reStructuredText takes for a substitution."""
    lines = event[-1]
    assert isinstance(lines, list)
    lines[:] = [line.replace("|", "\\|") for line in lines]


def setup(app: Sphinx) -> None:
    app.connect("source-read", link_cards)
    app.connect("autodoc-process-docstring", escape_bars)
