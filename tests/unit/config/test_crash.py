"""Crash points: known names only, the Nth pass, and each name at one place in the code."""

import ast
import signal
import subprocess
import sys

import pytest

from config import crash
from config.errors import Misconfigured
from tests.tidy.source import python_files

_PASSES = """
from config import crash
crash.arm({"IMV_CRASH_AT": "batch.committed:3"})
for number in range(5):
    crash.here("batch.written")
    crash.here("batch.committed")
    print(number, flush=True)
"""


def test_the_process_dies_by_sigkill_at_the_pass_that_is_armed_and_at_no_other_point() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PASSES], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["0", "1"])


@pytest.mark.parametrize("text", ["nowhere", "batch.committed:0", "batch.committed:often"])
def test_what_cannot_be_armed_is_refused_and_says_what_to_do(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"chaos points|number of passes"):
        crash.arm({"IMV_CRASH_AT": text})


def test_nothing_is_armed_by_default() -> None:
    crash.arm({})
    crash.here("batch.committed")


def test_every_point_is_passed_at_one_place_in_the_code_and_no_other_name_is() -> None:
    passed = [
        call.args[0].value
        for path, tree in python_files().items()
        if not path.startswith("tests/")
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and ast.unparse(call.func) == "crash.here"
        and isinstance(call.args[0], ast.Constant)
    ]
    assert sorted(passed, key=str) == sorted(crash.POINTS)
