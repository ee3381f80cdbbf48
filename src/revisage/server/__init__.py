"""Restoration over HTTP: an API, jobs that survive a crash, and a web page. Needs `revisage[serve]`.

`revisage serve` starts it; `revisage.server.client.Client` talks to it and needs no extra.
"""

from revisage.server.options import JobOptions
from revisage.server.settings import JobLimits, Limits, ServerSettings, default_data, read_tokens

__all__ = ["JobLimits", "JobOptions", "Limits", "ServerSettings", "default_data", "read_tokens"]
