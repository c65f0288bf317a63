"""`python -m mrdl`, and the command `mrdl`."""
import sys


def main() -> int:
    """The command's exit status. Its modules take a moment to load, and Ctrl-C may come then."""
    try:
        from mrdl.cli import main as command
    except KeyboardInterrupt:
        print("mrdl: interrupted", file=sys.stderr)
        return 130
    return command()


if __name__ == "__main__":
    sys.exit(main())
