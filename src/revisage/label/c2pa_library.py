"""The C2PA library, loaded when it is first needed and kept from the network."""

from types import ModuleType
from typing import Any

from revisage.errors import RuntimeUnavailableError

OFFLINE: dict[str, Any] = {
    "version": 1,
    "core": {"allowed_network_hosts": []},  # holds for all but a time stamp server that the caller names
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    # A thumbnail would need the original's pixels decoded outside the process that is kept for that.
    "builder": {"thumbnail": {"enabled": False}},
}
"""Settings of every reader and builder."""

MODELS = "revisage.models"
SHA256 = "revisage.sha256"  #: parameters of our actions; C2PA lets a tool add its own to those it defines


def c2pa() -> ModuleType:
    """The package. Raises RuntimeUnavailableError when it is not installed."""
    try:
        import c2pa as module
    except ImportError as error:
        raise RuntimeUnavailableError(
            f'signed labels need another package ({error}): `pip install "revisage[sign]"`'
        ) from None
    library: ModuleType = module
    return library
