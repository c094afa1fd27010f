"""The data folder: private, locked for one instance, and honest about what is wrong."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import Misconfigured
from gateway.engines.folder import DataFolder, write_private


def test_the_folder_is_made_private_and_its_runtime_folder_goes_away(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "new" / "data") as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.runtime.stat().st_mode) == 0o700
        assert not folder.runtime.is_relative_to(folder.path)
    assert not folder.runtime.exists()
    folder.close()


def test_what_is_made_in_a_folder_that_was_there_is_private_too(tmp_path: Path) -> None:
    before = os.umask(0o022)
    (tmp_path / "data").mkdir()
    with DataFolder(tmp_path / "data") as folder:
        (folder.path / "ours").touch()
        make = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
        subprocess.run([sys.executable, "-c", make, str(folder.path / "a-childs")], check=True)
        for name in ("ours", "a-childs"):
            assert stat.S_IMODE((folder.path / name).stat().st_mode) == 0o600
    assert os.umask(before) == 0o022


def test_two_on_one_folder_are_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with (
        DataFolder(tmp_path),
        pytest.raises(Misconfigured, match=f"in use by process {os.getpid()};.*--data"),
    ):
        DataFolder(tmp_path, wait_s=0.1)
    DataFolder(tmp_path).close()


def test_a_child_that_inherited_the_lock_keeps_it(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    command = [sys.executable, "-c", "input()"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[folder.lock])
    folder.close()
    with pytest.raises(Misconfigured, match="in use"):
        DataFolder(tmp_path, wait_s=0.1)
    child.communicate(b"\n")
    DataFolder(tmp_path).close()


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Misconfigured, match="is a file; name a folder"):
            DataFolder(path)


def test_a_folder_that_may_not_be_written_is_refused() -> None:
    with pytest.raises(Misconfigured, match="name one that you may write to"):
        DataFolder(Path("/proc/imv"))


def test_a_lock_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(Misconfigured, match="lock"):
        DataFolder(tmp_path)


def test_only_our_own_runtime_folder_is_ever_removed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "runtime").write_text(str(precious))
    DataFolder(tmp_path / "data").close()
    assert precious.exists()


def test_a_private_file_is_replaced_whole_and_only_ours(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_note_that_is_damaged_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "runtime").write_bytes(b"\xff\xfe\x00")
    with DataFolder(tmp_path) as folder:
        assert folder.runtime.is_dir()
