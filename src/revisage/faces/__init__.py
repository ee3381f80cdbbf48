"""Find faces with their landmarks, and align them to the FFHQ template and back."""

from revisage.faces.align import align, estimate, invert, template, turn_matrix, upright
from revisage.faces.detector import Detector, Face

__all__ = ["Detector", "Face", "align", "estimate", "invert", "template", "turn_matrix", "upright"]
