"""A Gradio space that restores the faces in a photo with Revisage: `python app.py`; see README.md."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from revisage import Restorer
from revisage.errors import RevisageError

KEPT_SECONDS = 600
"""Uploads and results are erased from Gradio's cache after this time."""


@cache
def restorer() -> Restorer:
    """One for all visitors; it may be used from many threads at once."""
    return Restorer()


def restore(
    photo: str, strength: float, scale: str, colour: str, folder: Path
) -> tuple[Path, list[list[Any]]]:
    """Restore a file into a folder; returns the result and a row for each face: number, outcome, reason.

    Raises RevisageError.
    """
    result = restorer().restore(photo, strength=strength, scale=scale, colour=colour)
    source = Path(photo)
    path = result.save(folder / f"{source.stem}.restored{source.suffix}")
    return path, [[face.number, face.outcome, face.reason or ""] for face in result.faces]


def build() -> Any:
    """The page, a `gradio.Blocks`."""
    import gradio as gr

    def shown(photo: str | None, strength: float, scale: str, colour: str) -> Iterator[tuple[Any, ...]]:
        if photo is None:
            raise gr.Error("Choose a photo first.")
        # Gradio copies what is yielded into its cache, where it erases it in time; then this copy goes.
        with tempfile.TemporaryDirectory() as folder:
            try:
                path, rows = restore(photo, strength, scale, colour, Path(folder))
            except RevisageError as error:
                raise gr.Error(str(error)) from None
            yield str(path), str(path), rows

    with gr.Blocks(title="Revisage", delete_cache=(60, KEPT_SECONDS), analytics_enabled=False) as page:
        gr.Markdown(
            "# Revisage\nRestores the faces in old and damaged photos. A restored face is an informed guess "
            "and no evidence of what somebody looked like; the file says in its metadata that AI edited it. "
            f"Photos and results are erased after {KEPT_SECONDS // 60} minutes."
        )
        with gr.Row():
            with gr.Column():
                photo = gr.File(label="Photo", file_types=["image"], type="filepath")
                strength = gr.Slider(0, 1, value=1, label="Strength of the restored faces")
                scale = gr.Radio(["auto", "1", "2", "4"], value="auto", label="Size")
                colour = gr.Radio(["keep", "enhance", "revive"], value="keep", label="Colours")
                start = gr.Button("Restore", variant="primary")
            with gr.Column():
                after = gr.Image(label="Restored", type="filepath", format="jpeg")
                file = gr.File(label="Download, with its label")
                faces = gr.Dataframe(headers=["face", "outcome", "reason"], label="Faces, from left to right")
        start.click(
            shown,
            [photo, strength, scale, colour],
            [after, file, faces],
            api_name="restore",
            concurrency_limit=1,
        )
    return page


if __name__ == "__main__":
    build().queue(max_size=20).launch()
