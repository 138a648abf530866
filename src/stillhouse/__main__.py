"""``python -m stillhouse``."""

import sys

from stillhouse.cli import main

if __name__ == "__main__":
    sys.exit(main())
