"""``python -m tinyvirat_build``."""

from tinyvirat_build.cli import main

if __name__ == "__main__":
    main(prog_name="tinyvirat-build")
