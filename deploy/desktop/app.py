"""The application that `make app` builds: the page in a window; photos that are given to it are restored."""

from __future__ import annotations

import multiprocessing
import runpy
import signal
import subprocess
import sys
import webbrowser

from revisage.cli import main


def window() -> int:
    """Start the server as a process of its own, show its page, and end it with the window.

    The window is pywebview's where that is installed, else a tab of the browser.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # not without the server
    command = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, __file__]
    with subprocess.Popen([*command, "serve", "--no-open"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().rpartition(" ")[2].strip()
        try:
            import webview

            webview.create_window("Revisage", url, width=1200, height=900)
            webview.start()
        except ModuleNotFoundError:
            print(f"Revisage is at {url}\nCtrl+C ends it.", flush=True)
            webbrowser.open(url)
            server.wait()
        finally:
            server.terminate()
    return 0


if __name__ == "__main__":
    multiprocessing.freeze_support()
    if "-m" in sys.argv[:5]:  # a child that Python would start with `python -m MODULE`, such as the decoder
        runpy.run_module(sys.argv[sys.argv.index("-m") + 1], run_name="__main__", alter_sys=True)
    else:
        sys.exit(main(sys.argv[1:]) if sys.argv[1:] else window())
