"""Training, measuring and making models. Needs `revisage[train]`; nothing but `cli` imports it."""
