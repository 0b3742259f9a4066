"""What a run says of the machine, the versions and the sources it was measured with."""

import subprocess
from pathlib import Path

import torch

from flashode.bench.machine import commit, machine, usable_processors, versions


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_commit_names_the_sources_and_their_edits(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "a.py").write_text("")
    assert commit(sources) == ""
    git(tmp_path, "init", "--quiet")
    # An environment within some checkout is not part of it.
    assert commit(sources) == ""
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    assert commit(sources) == git(tmp_path, "rev-parse", "--short=12", "HEAD")
    (sources / "a.py").write_text("edited = True\n")
    assert commit(sources) == git(tmp_path, "rev-parse", "--short=12", "HEAD") + "-dirty"


def test_machine_and_versions_are_those_that_run() -> None:
    description = machine()
    assert description["usable processors"] == usable_processors() >= 1
    assert float(description["memory in GiB"]) > 0
    assert description["processor"]
    known = versions()
    assert known["torch"] == str(torch.__version__)
    assert list(known)[:2] == ["python", "flashode"]
