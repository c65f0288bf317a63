"""`python -m mrdl.archive [PYTHON [WHEELS]]` packs what a node needs beside Python."""
from mrdl.runners.site import main

if __name__ == "__main__":
    main()
