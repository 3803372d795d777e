"""The blocks of the documentation: what readers type, what they see, and what is marked.

Before a block may stand, as a comment of Markdown,

- ``<!-- no-run: reason -->``: nothing here can run it,
- ``<!-- output -->``: what the block before it prints, in its order; ``…`` stands for lines left
  out. Times are masked,
- ``<!-- fails -->``: it ends with exit status 2, and prints an error.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builds import DEMO_SETS

REPO = Path(__file__).resolve().parent.parent
PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
RUN = ("sh", "python")
SHOWN = ("bibtex", "csv", "ini", "text", "yaml")

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>output|fails|no-run: [^\n]*?) -->\n\n?)?"
    r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_TIME = re.compile(r"\d[\d.,]* (s|min|h|ms|MiB|MB|kB|GiB)\b|\d+:\d\d")


@dataclass(frozen=True)
class Block:
    """One fenced block; ``line`` is that of its fence, ``mark`` the comment before it."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def name(self) -> str:
        """Where it stands, as ``docs/guide.md:12``."""
        return f"{self.page.relative_to(REPO)}:{self.line}"

    @property
    def no_run(self) -> str:
        """Why it is not run; empty where it is."""
        return self.mark.removeprefix("no-run:").strip() if self.mark[:7] == "no-run:" else ""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, m.start("language")) + 1,
            m["language"],
            m["text"],
            m["mark"] or "",
        )
        for m in _FENCE.finditer(text)
    ]


def typed(page: Path) -> Iterator[tuple[Block, list[str]]]:
    """The blocks of a page that are run, each with what the page says it prints."""
    found = blocks(page)
    for n, block in enumerate(found):
        if block.language in RUN and not block.no_run:
            told = found[n + 1] if n + 1 < len(found) and found[n + 1].mark == "output" else None
            yield block, told.text.splitlines() if told else []


def is_said(quoted: str) -> bool:
    """Whether a message stands in the code of commands; ``…`` is what is filled in."""
    fixed = len(quoted.replace("…", ""))
    return any(
        re.fullmatch(pattern, quoted, re.DOTALL)
        for pattern, known in _texts()
        if known > fixed / 2  # else it is filled in and says nothing of its own
    )


@functools.cache
def _texts() -> list[tuple[str, int]]:
    """Patterns of all texts in the code of commands, each with the length of what is not filled in.

    Parts of a formatted text are among them, which match less than the whole.
    """
    found = set()
    rooms = [REPO / "tinyvirat_build" / room for room in ("ask", "cli", "pipeline", "store")]
    for file in (file for room in rooms for file in room.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.add(
                    tuple(v.value if isinstance(v, ast.Constant) else "" for v in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add((node.value,))
    return [
        ("".join(re.escape(str(part)) if part else ".*" for part in parts), sum(map(len, parts)))
        for parts in found
    ]


def masked(text: str) -> list[str]:
    """The lines of an output without times and sizes, which differ between machines."""
    return [_TIME.sub("#", line).rstrip() for line in text.splitlines()]


def left_over(told: list[str], printed: str) -> list[str]:
    """The lines that an output lacks, or has in another order."""
    rest = iter(masked(printed))
    return [line for line in masked("\n".join(told)) if line != "…" and line not in rest]


def program(folder: Path) -> None:
    """Write the program that pages call: this checkout's, with the small demo for MEVA.

    Trainings have two epochs.
    """
    (folder / "tinyvirat-build").write_text(
        f"#!{sys.executable}\nimport sys\n"
        "args = ['demo' if a == 'meva' else a for a in sys.argv[1:]]\n"
        "if 'demo' in args and args[0] in ('all', 'doctor'):\n"
        f"    args += {DEMO_SETS!r}\n"
        "if args[0] == 'train' and not any('epochs=' in a for a in args):\n"
        "    args += ['--set', 'epochs=2']\n"
        "if args[0] == 'sweep':\n"
        f"    args += ['--config', {str(folder / 'small.yaml')!r}]\n"
        "from tinyvirat_build.cli import main\n"
        "main(args, prog_name='tinyvirat-build')\n"
    )
    (folder / "small.yaml").write_text("demo: {scale: 0.1}\n")
    (folder / "tinyvirat-build").chmod(0o755)
    (folder / "python").symlink_to(sys.executable)


def run(block: Block, where: Path, env: Mapping[str, str]) -> str:
    """Type one block in a folder, and give what it prints.

    Raises:
        AssertionError: it fails, or does not where it should.
    """
    shell = ["bash", "-euo", "pipefail", "-c"]
    call = [*shell, block.text] if block.language == "sh" else [sys.executable, "-c", block.text]
    done = subprocess.run(
        call, cwd=where, env=dict(env), text=True, capture_output=True, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 2 * (block.mark == "fails"), f"{block.name}\n{block.text}\n{told}"
    return told
