"""Revisage restores the faces in old and damaged photos.

Example::

    from revisage import Restorer
    Restorer().restore("grandmother.jpg").save("grandmother.restored.jpg")
"""

from typing import TYPE_CHECKING, Any

from revisage import errors
from revisage.version import __version__

__all__ = ["RestoreOptions", "Restorer", "Result", "Settings", "__version__", "errors"]

if TYPE_CHECKING:
    from revisage.options import RestoreOptions, Settings
    from revisage.restore import Restorer, Result


def __getattr__(name: str) -> Any:
    # Lazy, so that `import revisage` and `revisage --help` cost no inference library.
    if name in __all__:
        from revisage import restore

        return getattr(restore, name)
    raise AttributeError(f"module 'revisage' has no attribute {name!r}")
