"""Revisage restores the faces in old and damaged photos.

Example::

    from revisage import Restorer
    Restorer().restore("grandmother.jpg").save("grandmother.restored.jpg")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from revisage.version import __version__

__all__ = ["Restorer", "__version__"]

if TYPE_CHECKING:
    from revisage.restore import Restorer


def __getattr__(name: str) -> Any:
    # Lazy, so that `import revisage` and `revisage --help` cost no inference library.
    if name == "Restorer":
        from revisage.restore import Restorer

        return Restorer
    raise AttributeError(f"module 'revisage' has no attribute {name!r}")
