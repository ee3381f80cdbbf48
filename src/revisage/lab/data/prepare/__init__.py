"""Training data made of photos: aligned faces, or whole pictures with 68 landmarks."""
