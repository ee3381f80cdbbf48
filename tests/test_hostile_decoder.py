"""A decoder that a hostile file has taken over: what it can reach from inside its fork."""

from __future__ import annotations

import io
import os
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest

from revisage.cli import main
from revisage.errors import PhotoError
from revisage.image import decode, encode, from_array, protection
from revisage.image.isolation import pool as pool_module
from revisage.image.isolation import sandbox
from revisage.options import DecodeLimits

ENVIRONMENT = pool_module._environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks for every photo")

Hijack = Callable[[str], None]


def picture(value: int) -> bytes:
    return encode(from_array(np.full((20, 30, 3), value, np.uint8)), format="PNG")


@pytest.fixture
def hijack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hijack]:
    """Have the fork run some code in the place of Pillow's Image.open."""

    def use(body: str, before: str = "") -> None:
        code = (
            "import ctypes, errno, os, resource, signal, socket, struct, subprocess, sys, time, PIL.Image\n"
        )
        code += textwrap.dedent(before) + "\ndef boom(*args, **options):\n"
        code += textwrap.indent(textwrap.dedent(body), "    ") + "\nPIL.Image.open = boom\n"
        (tmp_path / "sitecustomize.py").write_text(code)

        def environment() -> dict[str, str]:
            env = ENVIRONMENT()
            return {**env, "PYTHONPATH": os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])}

        monkeypatch.setattr(pool_module, "_environment", environment)
        pool_module._pool.close()

    yield use
    pool_module._pool.close()


def said() -> str:
    """What the code in the fork raised."""
    with pytest.raises(PhotoError) as caught:
        decode(picture(1))
    return str(caught.value)


needs_seccomp = pytest.mark.skipif(
    sys.platform == "linux" and "seccomp" not in protection(), reason="this kernel has no seccomp"
)

ATTEMPTS = {
    "open a file": "open('/etc/passwd')",
    "open the process that decodes for others": "open(f'/proc/{os.getppid()}/mem', 'rb')",
    "read its parent's secrets": "open(f'/proc/{os.getppid()}/environ', 'rb')",
    "list a folder": "os.listdir('/')",
    "write a file": "os.open('/tmp/owned', os.O_CREAT | os.O_WRONLY)",
    "connect": "socket.socket().connect(('127.0.0.1', 80))",
    "connect locally": "socket.socket(socket.AF_UNIX)",
    "make a pipe": "os.pipe()",
    "fork": "os.fork()",
    "run a program": "os.execv('/bin/true', ['true'])",
    "start a process": "subprocess.run(['/bin/true'])",
    "signal its parent": "os.kill(os.getppid(), 0)",
    "signal its group": "os.killpg(0, signal.SIGTERM)",
    "leave its group": "os.setsid()",
    "raise a limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))",
    "ask for no end of time": "resource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
    "have its parent's memory": (
        "c = ctypes.CDLL(None, use_errno=True); "
        "r = c.ptrace(16, os.getppid(), 0, 0); "
        "_ = (_ for _ in ()).throw(OSError(ctypes.get_errno(), '')) if r else None"
    ),
    "become somebody else": "os.setuid(1)",
}


@needs_seccomp
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_fork_that_was_taken_over_can_do_nothing(hijack: Hijack, attempt: str) -> None:
    hijack(f"""
        try:
            {ATTEMPTS[attempt]}
        except OSError as error:
            raise RuntimeError('refused ' + errno.errorcode[error.errno])
        except ValueError:
            raise RuntimeError('refused EPERM')  # as the module resource says it
        raise RuntimeError('it could')
    """)
    text = said()
    assert "refused EPERM" in text or "refused EACCES" in text, text


@pytest.mark.parametrize("sandboxed", [True, False])
def test_it_cannot_read_the_next_request_nor_see_other_files(*, hijack: Hijack, sandboxed: bool) -> None:
    without = (
        ""
        if sandboxed
        else "import revisage.image.isolation.sandbox as s; s.give_up = lambda close: close() or []"
    )
    hijack(
        """
        held = []
        for number in range(1024):
            try:
                os.lseek(number, 0, os.SEEK_CUR)
                held.append(f"{number}:other")
            except OSError as error:
                if error.errno == errno.ESPIPE:
                    held.append(f"{number}:pipe")
        raise RuntimeError(' '.join(held) + f" read {os.read(0, 9)!r}")
        """,
        without,
    )
    # The null device three times, and the pipe for the answer.
    assert re.search(r"\(0:other 1:other 2:other \d+:pipe read b''\)", said())


def test_without_the_kernels_help_limits_still_hold_and_no_file_can_be_opened(hijack: Hijack) -> None:
    hijack(
        """
        try:
            open('/etc/passwd')
        except OSError as error:
            name = errno.errorcode[error.errno]
        hard = [resource.getrlimit(kind)[1] for kind in
                (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)]
        bound = resource.getrlimit(resource.RLIMIT_AS)[1] < 1 << 40
        raise RuntimeError(f"{name} {hard} {bound}")
        """,
        "import revisage.image.isolation.sandbox as s; s.give_up = lambda close: close() or []",
    )
    assert "EMFILE [0, 0, 0] True" in said()
    assert protection() == "a process for every photo, limits"


@pytest.mark.skipif("Landlock" not in protection(), reason="this kernel has no Landlock")
def test_landlock_alone_keeps_it_from_the_folders(hijack: Hijack, tmp_path: Path) -> None:
    """By calls that need no open file: the limit on those would hide whether Landlock is in force."""
    old, new = str(tmp_path / "photo"), str(tmp_path / "made")
    Path(old).touch()
    hijack(
        f"""
        refused = []
        for attempt, path in ((os.mkdir, {new!r}), (os.unlink, {old!r})):
            try:
                attempt(path)
            except OSError as error:
                refused.append(errno.errorcode[error.errno])
        raise RuntimeError(' '.join(refused))
        """,
        "import revisage.image.isolation.sandbox as s; s._seccomp = lambda: False",
    )
    assert "EACCES EACCES" in said()
    assert Path(old).exists()


def test_nothing_of_the_environment_goes_along(hijack: Hijack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    hijack("raise RuntimeError(' '.join(sorted(os.environ)))")
    text = said()
    assert "PYTHONPATH" in text
    assert "AWS" not in text


def test_what_it_says_beyond_its_answer_is_not_the_next_photos(hijack: Hijack) -> None:
    hijack("""
        import json
        def message(text):
            head = json.dumps({"error": "PhotoError", "message": text, "blobs": []}).encode()
            return struct.pack('>I', len(head)) + head
        for number in range(3, 64):
            try:
                os.write(number, message('first') + message('for the next photo'))
            except OSError:
                continue
        os._exit(0)
    """)
    assert said() == "first"
    assert said() == "first"


@pytest.mark.parametrize(
    "head",
    [
        b"[" * 60_000,
        b'{"blobs": [], "error": "PhotoError", "message": "\\u001b[31m\\nrm -rf /"}',
        b'{"blobs": [], "error": ["PhotoError"], "message": "m"}',
        b'{"blobs": [], "shape": [], "dtype": "uint8"}',
        b'{"blobs": [], "shape": [1e999, 2], "dtype": "uint8"}',
        b'{"blobs": [1], "names": ["colour"], "shape": [1, 1], "dtype": "uint8", "format": "PNG", "dpi": 1}',
        b'{"blobs": [1], "names": [{}], "shape": [1, 1], "dtype": "uint8", "format": {}, "dpi": [1, 1]}',
    ],
)
def test_whatever_it_answers_is_a_photo_error_of_one_line(hijack: Hijack, head: bytes) -> None:
    hijack(f"""
        head = {head!r}
        for number in range(3, 64):
            try:
                os.write(number, struct.pack('>I', len(head)) + head + b'\\x01')
            except OSError:
                continue
        os._exit(0)
    """)
    assert said().isprintable()


def test_it_does_not_outlive_the_process_that_forked_it(hijack: Hijack) -> None:
    hijack("time.sleep(60)")
    worker = pool_module._pool.take()
    data = picture(1)
    request = {**asdict(DecodeLimits(seconds=60)), "page": 0, "damaged": None}
    worker.send(io.BytesIO(data), len(data), request)
    deadline = time.monotonic() + 20
    process = psutil.Process(worker.process.pid)
    while not process.children() and time.monotonic() < deadline:
        time.sleep(0.02)
    (fork,) = process.children()
    time.sleep(0.2)
    os.kill(process.pid, 9)
    fork.wait(timeout=5)
    worker.kill()


def test_every_shared_file_is_the_same_with_and_without_the_sandbox(hijack: Hijack, shared: Path) -> None:
    """What a fork may no longer do, no decoder needs: nothing is imported or opened late."""
    folders = [shared / "data" / name for name in ("odd", "reports")]
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    rng = np.random.default_rng(0)
    blobs: list[bytes | Path] = [*files]
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF", "AVIF"):
        for kind in (np.uint8, np.uint16):
            array = rng.integers(0, 255, (40, 50, 4)).astype(kind)
            blobs.append(encode(from_array(array), format=format))

    def outcomes() -> list[object]:
        found: list[object] = []
        for blob in blobs:
            try:
                photo = decode(blob)
                found.append((photo.pixels.tobytes(), photo.icc, photo.exif, photo.xmp, photo.dpi))
            except PhotoError as error:
                found.append(str(error))
        return found

    pool_module._pool.close()
    held = outcomes()
    hijack("return original(*args, **options)", UNHELD)
    assert outcomes() == held


UNHELD = """
import revisage.image.isolation.sandbox as s
s.give_up = lambda close: []
original = PIL.Image.open
"""


def test_the_command_tells_what_holds_a_decoder(capsys: pytest.CaptureFixture[str]) -> None:
    pool_module._pool.close()
    assert main(["--version", "--verbose"]) == 0
    assert f"decoding is held by: {protection()}" in capsys.readouterr().out


def test_the_filter_is_a_program_that_the_kernel_takes_on_both_architectures() -> None:
    for machine in ("x86_64", "aarch64"):
        program = sandbox._program(machine, 77)
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096
        steps = [program[start : start + 8] for start in range(0, len(program), 8)]
        for at, step in enumerate(steps):
            code, yes, no = int.from_bytes(step[:2], sys.byteorder), step[2], step[3]
            if code == 0x15:
                assert at + 1 + max(yes, no) < len(steps)
        assert int.from_bytes(steps[-1][4:], sys.byteorder) == 0x0005_0001
        assert len(sandbox._ALLOWED[machine]) == 34
