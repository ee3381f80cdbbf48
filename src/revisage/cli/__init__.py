"""The `revisage` command. Each subcommand is a module that is imported only when it is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from revisage.version import __version__

COMMANDS = {
    "restore": "restore photos, or every photo in a folder",
    "serve": "restore over HTTP: an API and a web page",
    "label": "show the labels in files, and whether a signature holds",
    "stored": "show what is kept on this machine, and erase it",
    "models": "list, show, download and import models",
    "prepare": "make aligned faces for training of a folder of photos",
    "degrade": "make degraded copies of clean photos",
    "train": "train a model",
    "evaluate": "measure models and other methods, with tables and pictures",
    "export": "write a trained model as an ONNX file",
    "bench": "measure what restoring an archive takes on this machine",
}

USAGE = f"""usage: revisage COMMAND [OPTIONS]

Restores the faces in old and damaged photos; trains and exports the models that do it.

{chr(10).join(f"  {name:<9} {text}" for name, text in COMMANDS.items())}

revisage COMMAND --help tells a command's options; revisage --version the version."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns 0: done, 1: something failed, 2: bad usage, 130: interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if arguments else 2
    if name == "--version":
        print(f"revisage {__version__}")
        return 0
    if name not in COMMANDS:
        print(f"revisage: no command {name!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        code: int = importlib.import_module(f"revisage.cli.{name}").main(arguments[1:])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; Python would complain once more at exit
        return 1
    return code
