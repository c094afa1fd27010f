"""The launcher: clear words when the machine lacks something, and quick when it does not."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.tidy.source import ROOT

PROGRAMS = (
    "cat",
    "cksum",
    "cp",
    "dirname",
    "find",
    "mkdir",
    "mv",
    "readlink",
    "rm",
    "sed",
    "sleep",
)
TOO_OLD = "#!/bin/sh\nexit 1\n"
NO_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; *print*) echo 3.11 ;; esac\n'
VENV = """\
#!/bin/sh
case "$*" in
*print*) echo 3.11 ;;
"-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo venv >>"$3/../calls" ;;
"-m pip "*install*) echo "$*" >>"$IMV_CALLS" ;;
"-m pytest"*|"-P -m gateway"*) echo ran "$@" ;;
esac
"""


class Checkout:
    """A folder with the launcher, and a machine with one Python of our making."""

    def __init__(self, root: Path) -> None:
        self.root = root / "check out"
        self.bin = root / "bin"
        for folder in (self.root, self.bin):
            folder.mkdir()
        for name in ("imv", "requirements.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root)
        for name in PROGRAMS:
            self.give(name, f'#!/bin/sh\nexec {shutil.which(name)} "$@"\n')

    def give(self, name: str, script: str) -> None:
        """Put a program on this machine. Never a link: writing to one changes the real program."""
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def run(self, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": str(self.bin), "IMV_CALLS": str(self.root / "calls")}
        return subprocess.run(
            [str(path or self.root / "imv"), *arguments],
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )

    @property
    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_without_a_fitting_python_it_says_which_one_is_needed(checkout: Checkout) -> None:
    checkout.give("python3", TOO_OLD)
    done = checkout.run("up")
    assert done.returncode == 1
    assert "Python 3.11 or 3.12 is needed" in done.stderr
    assert not (checkout.root / ".venv" / ".lock").exists()


def test_without_the_venv_module_it_names_the_package(checkout: Checkout) -> None:
    checkout.give("python3.11", NO_VENV)
    done = checkout.run("up")
    assert done.returncode == 1
    assert "apt install python3.11-venv" in done.stderr


def test_it_installs_once_with_hashes_and_is_quiet_afterwards(checkout: Checkout) -> None:
    checkout.give("python3.12", VENV)
    first = checkout.run("up", "--demo")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "ran -P -m gateway up --demo\n"
    assert "installing" in first.stderr
    venv, pins, ours = checkout.calls
    assert venv == "venv"
    assert "--require-hashes" in pins
    assert "--no-deps --no-build-isolation" in ours
    again = checkout.run("doctor")
    assert (again.stdout, again.stderr) == ("ran -P -m gateway doctor\n", "")
    assert len(checkout.calls) == 3


def test_new_pins_are_installed_into_the_venv_that_is_there(checkout: Checkout) -> None:
    checkout.give("python3.12", VENV)
    checkout.run("up")
    with (checkout.root / "requirements.txt").open("a") as pins:
        pins.write("# changed\n")
    checkout.run("up")
    assert [call for call in checkout.calls if call == "venv"] == ["venv"]
    assert len(checkout.calls) == 5


def test_a_checkout_that_was_moved_gets_a_new_venv(checkout: Checkout) -> None:
    checkout.give("python3.12", VENV)
    checkout.run("up")
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    assert checkout.run("up").returncode == 0
    assert checkout.calls.count("venv") == 2


def test_a_failed_installation_is_said_and_tried_again(checkout: Checkout) -> None:
    checkout.give("python3.12", VENV.replace('echo "$*" >>"$IMV_CALLS"', "exit 1"))
    done = checkout.run("up")
    assert done.returncode == 1
    assert "installing failed" in done.stderr
    shutil.rmtree(checkout.root / ".venv")
    checkout.give("python3.12", VENV)
    assert checkout.run("up").returncode == 0


def test_a_lock_whose_owner_is_gone_is_taken_over(checkout: Checkout) -> None:
    checkout.give("python3.12", VENV)
    checkout.give("sleep", "#!/bin/sh\n")
    (checkout.root / ".venv" / ".lock").mkdir(parents=True)
    (checkout.root / ".venv" / ".lock" / "pid").write_text("999999999\n")
    assert checkout.run("up").returncode == 0


def test_it_works_through_a_link_from_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    checkout.give("python3.12", VENV)
    (tmp_path / "linked").symlink_to(checkout.root / "imv")
    assert checkout.run("test", "-k", "x", path=tmp_path / "linked").stdout == (
        "ran -m pytest -n 3 --dist worksteal -k x\n"
    )


@pytest.mark.parametrize("name", ["imv", ".ci/run"])
def test_the_scripts_may_be_run_and_parse(name: str) -> None:
    file = ROOT / name
    assert file.stat().st_mode & stat.S_IXUSR
    found = re.match(r"#!(?:/usr/bin/env )?(?:/bin/)?(\w+)", file.read_text())
    assert found
    shell = shutil.which(found.group(1)) or ""
    subprocess.run([shell, "-n", str(file)], check=True)
