"""Ctrl-C while photos are in hand: once to finish them, twice to stop at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that no more photos are begun; a second one ends the process at once.

    An exception in its place could not end the threads in the inference library, nor tell what they wrote.
    """
    stop = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield stop  # another program's thread, or a background job that Ctrl-C is not meant for
        return

    def interrupt(number: int, frame: object) -> None:
        if stop.is_set():
            os.write(2, b"\x1b[?25h\n" if os.isatty(2) else b"")  # the cursor that the progress bar hid
            os._exit(130)
        stop.set()
        os.write(2, b"finishing the photos in hand; Ctrl-C again stops at once\n")

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
