"""What surrounds the pixels in a file: segments, chunks and directories."""
