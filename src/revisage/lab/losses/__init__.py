"""Losses: functions of tensors, each with its equation and source. They know neither network nor data."""
