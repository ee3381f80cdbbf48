"""A PostgreSQL server of the tests' own, on a socket in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def _program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database; skips where PostgreSQL is not installed."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    as_root = os.getuid() == 0  # the server refuses to run so
    if as_root and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        pytest.skip("needs a user `postgres` to run PostgreSQL as: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    become: list[str] = []
    if as_root:
        folder.chmod(0o755)
        shutil.chown(folder, "postgres")
        become = ["runuser", "-u", "postgres", "--"]
    data, log = folder / "data", folder / "log"

    def run(*command: str) -> None:
        done = subprocess.run([*become, *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout

    run(initdb, "-D", str(data), "-U", "revisage", "--auth=trust", "--no-sync", "-E", "UTF8")
    options = f"-c listen_addresses= -c unix_socket_directories={folder}"
    run(pg_ctl, "-D", str(data), "-l", str(log), "-o", options, "-w", "start")
    try:
        yield f"postgresql://revisage@/postgres?host={folder}"
    finally:
        run(pg_ctl, "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
