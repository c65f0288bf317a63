"""`python -m mrdl`, and the command `mrdl`."""
import sys


def main() -> int:
    """Runs the command; returns its exit status. Handles Ctrl-C also while modules are being imported."""
    try:
        from mrdl.cli import main as command
    except KeyboardInterrupt:
        print("mrdl: interrupted", file=sys.stderr)
        return 130
    return command()


if __name__ == "__main__":
    sys.exit(main())
