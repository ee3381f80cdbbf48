"""From arguments to a frozen dataclass, with the exit code that a command returns when they are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import tyro

Options = TypeVar("Options")


class Exit(Exception):  # noqa: N818 (it is no error: --help leaves this way too)
    """The command ends here with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def parse(options: type[Options], prog: str, argv: Sequence[str]) -> Options:
    """Parse `argv` into `options`. Raises Exit after --help (0) and after bad arguments (2)."""
    try:
        return tyro.cli(options, prog=f"revisage {prog}", args=list(argv))
    except SystemExit as stop:
        raise Exit(stop.code if isinstance(stop.code, int) else 2) from None
