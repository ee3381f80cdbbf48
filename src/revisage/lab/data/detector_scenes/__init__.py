"""Scenes with known faces that the face detector learns from."""
