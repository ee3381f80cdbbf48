"""One metric a file: a function on batches that gives one value a picture."""
