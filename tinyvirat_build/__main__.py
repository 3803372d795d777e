"""``tinyvirat-build``, and ``python -m tinyvirat_build``."""

import sys


def main() -> None:
    """Run the command line; an interrupt while it is loaded is answered as every other."""
    try:
        from tinyvirat_build.cli import main as command
    except KeyboardInterrupt:
        sys.stderr.write("stopped before anything began\n")
        raise SystemExit(130) from None
    command(prog_name="tinyvirat-build")


if __name__ == "__main__":
    main()
