"""A signal to end while work is in hand: the first lets that be finished, the second ends at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, what ends a service, and the end of the terminal."""


class Stop(threading.Event):
    """Set by the first signal, whose number it has."""

    number: int = signal.SIGINT


@contextlib.contextmanager
def interruptible(
    keep: Callable[[], object] = lambda: None, *, hand: str = "photos in hand"
) -> Iterator[Stop]:
    """The first of `SIGNALS` sets the event, so that nothing more is begun; another ends the process. An
    exception in its place could not end the threads in the inference library, nor tell what they wrote.
    `keep` is called at the first signal: a service is often killed soon after."""
    stop = Stop()
    taken: dict[signal.Signals, Any] = {}

    def interrupt(number: int, frame: object) -> None:
        stop.number = number
        # The system's own handling from here on, which waits neither for Python nor for a library.
        for each in taken:
            signal.signal(each, signal.SIG_DFL)
        stop.set()
        show = b"\x1b[?25h" if os.isatty(2) else b""  # the cursor that the progress bar hid
        with contextlib.suppress(OSError):  # the terminal has gone
            os.write(2, show + f"finishing the {hand}; Ctrl-C again stops at once\n".encode())
        keep()

    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:  # not one that somebody handles, or that is not meant for a background job
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                taken[number] = signal.signal(number, interrupt)
    try:
        yield stop
    finally:
        for number, before in taken.items():
            signal.signal(number, before)
