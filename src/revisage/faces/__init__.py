"""Find faces with their landmarks, and align them to the FFHQ template and back."""

from revisage.faces.align import align, estimate, invert, template
from revisage.faces.detector import Detector, Face

__all__ = ["Detector", "Face", "align", "estimate", "invert", "template"]
