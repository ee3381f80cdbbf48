"""Bars on a terminal's stderr, gone when the work is done; where stderr is no terminal, nothing."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, ProgressColumn, track

T = TypeVar("T")


def bar(*columns: str | ProgressColumn) -> Progress:
    """A bar of these columns."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def tracked(items: Sequence[T], name: str) -> Iterable[T]:
    """The items, with a bar that grows as they are asked for."""
    console = Console(stderr=True)
    return track(items, name, console=console, transient=True, disable=not console.is_terminal)
