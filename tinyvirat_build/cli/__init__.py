"""The command line: each command parses, calls one library function, and prints.

Exit status: 0 built, 1 built with clips missing or a check that failed, 2 cannot build.
"""

from tinyvirat_build.cli import ask, build, config, fetch, train
from tinyvirat_build.cli.group import main

for _module in (build, fetch, ask, config, train):
    for _command in _module.COMMANDS:
        main.add_command(_command)

__all__ = ["main"]
