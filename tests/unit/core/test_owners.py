"""Owners die with their process, however it ends."""

import os
import subprocess
import sys
from pathlib import Path

from core.owners import Owner


def test_a_process_is_alive_until_it_is_not(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    work = (
        "import os, sys; from pathlib import Path; from core.owners import Owner; print(Owner(Path(sys.argv[1])).name)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", f"{work}; sys.stdout.flush(); os._exit(9)", tmp_path], capture_output=True, text=True
    )
    assert not owner.is_dead(owner.name)
    assert (tmp_path / killed.stdout.strip()).exists()
    assert owner.is_dead(killed.stdout.strip())
    assert owner.is_dead("never-was")


def test_the_files_of_the_long_dead_are_swept_and_living_ones_stay(tmp_path: Path) -> None:
    living = Owner(tmp_path)
    (tmp_path / "dead").touch()
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    newcomer = Owner(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {living.name, newcomer.name}
    newcomer.close()
    assert {path.name for path in tmp_path.iterdir()} == {living.name}
