#!/bin/sh
# For macOS: a double click opens the page.
PATH="$HOME/.local/bin:/opt/homebrew/bin:$PATH"
exec revisage serve
