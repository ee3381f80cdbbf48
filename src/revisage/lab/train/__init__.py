"""Training: presets, one task a system, one loop for all of them."""
