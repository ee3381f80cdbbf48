"""Restoration over HTTP: an API, jobs that survive a crash, and a web page. Needs `revisage[serve]`.

`revisage serve` starts it; `revisage.server.client.Client` talks to it and needs no extra.
"""

from revisage.server.options import JobOptions
from revisage.server.settings import Limits, ServerSettings, default_data, read_tokens

__all__ = ["JobOptions", "Limits", "ServerSettings", "default_data", "read_tokens"]
