"""python -m tests.conformance: docs/coverage.md, to standard output."""

import sys

from tests.conformance.page import page

if __name__ == "__main__":
    sys.stdout.write(page())
