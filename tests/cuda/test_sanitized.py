"""Kernels under AddressSanitizer and UndefinedBehaviorSanitizer, with shared memory like any other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LIBRARIES = ("libasan.so", "libubsan.so")


def library(name: str) -> str:
    """Where the compiler has it."""
    compiler = os.environ.get("CXX", "g++")
    command = [compiler, f"-print-file-name={name}"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip(f"{compiler} has no {name}")
    return path


def run_sanitized(what: str) -> subprocess.CompletedProcess[str]:
    """Runs a function of ``sanitized`` in a process of its own."""
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(map(library, LIBRARIES)),
        # Python leaves much to the end of the process.
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
    }
    command = [sys.executable, str(TESTS / "cuda" / "sanitized.py"), what]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("what", ["solve", "solve_to_event"])
def test_solves_are_clean(what: str) -> None:
    done = run_sanitized(what)
    assert done.returncode == 0, done.stderr


def test_a_fault_is_seen() -> None:
    done = run_sanitized("read_beside_shared_memory")
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
