"""`python -m mrdl.archive [PYTHON [WHEELS]]` packs everything that a node needs besides Python."""
from mrdl.runners.site import main

if __name__ == "__main__":
    main()
