"""`python -m mrdl` is the command `mrdl`."""
import sys

from mrdl.cli import main

if __name__ == "__main__":
    sys.exit(main())
