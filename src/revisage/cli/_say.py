"""Lines for people, whatever the names of their files hold."""

import io
import sys
import unicodedata


def printable(text: str) -> str:
    """The text with what a terminal would obey, or not show, as an escape: `\\x1b`, `\\n`, `\\u202e`. Names
    of files may hold anything but a slash, also bytes that are no UTF-8 (for Python lone surrogates)."""
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode()
        for c in text
    )


def tolerate_names() -> None:
    """Let whatever is printed escape what the terminal or pipe has no letter for, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: object, *, error: bool = False) -> None:
    """Print one line, at once, on stderr for an `error`."""
    stream = sys.stderr if error else sys.stdout
    if stream is None:  # a program without a console, such as pythonw
        return
    print(printable(str(text)), file=stream, flush=True)
