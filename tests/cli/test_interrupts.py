from __future__ import annotations

import signal
import subprocess
import sys

from tinyvirat_build.cli import interrupts, main

WAITS_FOR_THREADS = """
import concurrent.futures, time
from tinyvirat_build import progress
from tinyvirat_build.cli import main

@main.command()
def wait():
    with progress.counting(9, "render", "video") as count, \\
            concurrent.futures.ThreadPoolExecutor(2) as pool:  # its end waits for all of it
        count.add()
        pool.map(time.sleep, [600] * 9)
        print("begun", flush=True)

main()
"""


def interrupted(program: str, command: str = "wait") -> tuple[int, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_a_command_ends_that_waits_for_what_takes_ten_minutes() -> None:
    status, said = interrupted(WAITS_FOR_THREADS)
    assert status == interrupts.STATUS
    assert said == (
        "stopping after 1 of 9 videos (render)\n"
        "stopped; what is finished stays. To go on: tinyvirat-build wait\n"
    )


def test_a_command_that_keeps_nothing_says_so() -> None:
    assert main.commands.keys() > interrupts.ASKING
    asks = WAITS_FOR_THREADS.replace("@main.command()", '@main.command("verify")')
    status, said = interrupted(asks, "verify")
    assert status == interrupts.STATUS
    assert said.endswith("\nstopped; to begin anew: tinyvirat-build verify\n")


def test_an_interrupt_while_the_program_is_loaded_is_one_line() -> None:
    program = """
import sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == "tinyvirat_build.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from tinyvirat_build.__main__ import main

main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "stopped before anything began\n")
