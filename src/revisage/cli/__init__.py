"""The `revisage` command. Each subcommand is a module that is imported only when it is used."""

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

from revisage.cli._say import say, tolerate_names
from revisage.errors import RevisageError, SigningError, UnknownModelError, UsageError, did_you_mean
from revisage.version import __version__

COMMANDS = {
    "restore": "restore photos, or every photo in a folder",
    "split": "cut out the prints that lie on one scan, straightened",
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

# Which extra a command needs.
EXTRAS = {"train": "train", "evaluate": "train", "export": "train", "serve": "serve"}

USAGE = f"""usage: revisage PHOTO|FOLDER... [OPTIONS]
       revisage COMMAND [OPTIONS]

Restores the faces in old and damaged photos; trains and exports the models that do it.

  revisage grandmother.jpg                 writes grandmother.restored.jpg beside it
  revisage album                           a folder, into album.restored
  revisage serve                           the page in your browser

{chr(10).join(f"  {name:<9} {text}" for name, text in COMMANDS.items())}

revisage COMMAND --help tells a command's options; revisage --version the version, and with --verbose what it
runs on and what holds a decoder that a hostile photo has taken over."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns 0: done, 1: something failed, 2: bad usage, 130: interrupted
    by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    tolerate_names()
    name = arguments[0] if arguments else "--help"
    rest = arguments[1:]
    if name in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if arguments else 2
    if name == "--version":
        say(f"revisage {__version__}")
        if "--verbose" in arguments:
            _print_details()
        return 0
    if name not in COMMANDS:
        # What `restore` takes: an option, a stream, a path, a pattern or a URL.
        if not (name.startswith("-") or any(sign in name for sign in "./\\*?~") or os.path.lexists(name)):
            spaced = next((f for n in range(2, 9) if os.path.exists(f := " ".join(arguments[:n]))), None)
            hint = did_you_mean(name, [*COMMANDS, *os.listdir()]) or "; `revisage --help` shows the commands"
            if spaced is not None:
                hint = f': a name with spaces goes in quotes, "{spaced}"'
            say(f"revisage: there is no command, photo or folder {name!r}{hint}", error=True)
            return 2
        name, rest = "restore", arguments
    try:
        return _exit_code(name, rest)
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(OSError):  # the terminal has gone
            print("interrupted", file=sys.stderr)
        return interrupt.args[0] if interrupt.args else 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; Python would complain once more at exit
        return 1


def _exit_code(name: str, argv: Sequence[str]) -> int:
    """A command's exit code; what it cannot do is told in one line."""
    try:
        code: int = importlib.import_module(f"revisage.cli.{name}").main(argv)
        return code
    except SystemExit as stop:  # after --help, and after bad arguments
        return int(stop.code or 0)
    except RevisageError as error:
        say(f"revisage {name}: {error}", error=True)
        return 2 if isinstance(error, UsageError | UnknownModelError | SigningError) else 1
    except ModuleNotFoundError as error:
        if name not in EXTRAS:
            raise
        say(f"revisage {name}: {error.name} is missing: pip install 'revisage[{EXTRAS[name]}]'", error=True)
        return 1


def _print_details() -> None:
    import platform

    from revisage.errors import PhotoError
    from revisage.image import protection

    try:
        decoding = protection()
    except PhotoError as error:
        decoding = str(error)
    say(f"python {platform.python_version()} on {platform.platform()}")
    say(f"decoding is held by: {decoding}")
