"""`python -m revisage`."""

import sys

from revisage.cli import main

if __name__ == "__main__":
    sys.exit(main())
