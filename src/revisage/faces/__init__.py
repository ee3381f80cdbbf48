"""Find faces with their landmarks, and align them to the FFHQ template and back."""

from revisage.faces.align import align, estimate, invert, template
from revisage.faces.face import Face
from revisage.faces.finder import Finder

__all__ = ["Face", "Finder", "align", "estimate", "invert", "template"]
