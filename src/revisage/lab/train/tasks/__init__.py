"""One training task a file: its networks, losses, samples and validation."""
