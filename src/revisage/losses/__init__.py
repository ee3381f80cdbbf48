"""One function a file, its equation and source in the docstring. Scalars out; lower is better."""
