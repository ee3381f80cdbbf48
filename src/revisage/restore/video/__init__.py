"""Films: faces tracked and smoothed over time."""
