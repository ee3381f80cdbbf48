"""What `revisage serve` says and opens; the server itself is left out."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs pip install revisage[serve]")

from revisage.cli import main
from revisage.cli import serve as command
from revisage.restore import Restorer
from revisage.server import ServerSettings, run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., ServerSettings]:
    """Runs the command as far as the server would start, which tells that it answers on port 8123."""

    def start(*options: str) -> ServerSettings:
        chosen: list[ServerSettings] = []

        def serve(settings: ServerSettings, models: object, on_start: Callable[[int], object]) -> int:
            chosen.append(settings)
            on_start(8123)
            return 0

        monkeypatch.setattr(run, "serve", serve)
        monkeypatch.setattr(Restorer, "check", lambda self: None)
        assert main(["serve", "--data", str(tmp_path), *options]) == 0
        return chosen[0]

    return start


def test_only_this_machine_is_served_and_the_end_is_told(
    started: Callable[..., ServerSettings], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = started()
    assert settings.local
    assert not settings.tokens
    assert capsys.readouterr().out == "Ctrl+C ends it.\n"


def test_lan_lets_in_by_a_token_of_this_run(
    started: Callable[..., ServerSettings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "_lan_address", lambda: "192.168.1.7")
    tokens = set()
    for _ in range(2):
        settings = started("--lan")
        assert settings.host == "0.0.0.0"
        [token] = settings.tokens
        tokens.add(token)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].endswith(f" http://192.168.1.7:8123/#token={token}")
        code = lines[1:-1]
        assert len({len(line) for line in code}) == 1
        assert set("".join(code)) == set("█▄▀ "), "the QR code"
        assert lines[-1] == "Ctrl+C ends it."
    assert len(tokens) == 2


@pytest.mark.parametrize(
    ("options", "terminal", "opened"),
    [
        ((), True, ["http://127.0.0.1:8123"]),
        (("--no-open",), True, []),
        ((), False, []),
    ],
)
def test_the_page_opens_where_a_person_has_started_it(
    started: Callable[..., ServerSettings],
    monkeypatch: pytest.MonkeyPatch,
    options: Sequence[str],
    terminal: bool,
    opened: list[str],
) -> None:
    told: list[str] = []
    monkeypatch.setattr(command.webbrowser, "open", told.append)
    monkeypatch.setattr(command, "_has_screen", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(command.threading.Thread, "start", command.threading.Thread.run)
    started(*options)
    assert told == opened


def test_another_port_is_taken_where_the_first_is(started: Callable[..., ServerSettings]) -> None:
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # somebody has it already
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        assert started().port in range(8001, 8020)
        assert main(["serve", "--port", "8000"]) == 2, "asked for by name, it is that one or none"
