"""Runs phases, each in a process of its own: one that fails or takes too long does not stop the others."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.gpu import machines
from benchmarks.gpu.findings import DONE, RUNNING, UNKNOWN, Findings, Recorder, file_of, read
from benchmarks.gpu.phases import Phase

# Repository of the package that is run, for processes that have other working folders.
ROOT = Path(__file__).parents[2]


def run_all(phases: Iterable[Phase], folder: Path, host: bool) -> list[Findings]:
    """Runs them one after the other, telling which one runs and how long is left at most.

    Args:
        phases: Which.
        folder: Where their findings are left.
        host: Whether they run without a GPU.

    Returns:
        The findings of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = list(phases)
    done = []
    while left:
        phase, seconds = left[0], sum(one.seconds for one in left)
        print(f"{phase.name}: {phase.title} (all that is left takes {seconds:.0f} s at most)", flush=True)
        done.append(run_apart(phase, folder, host))
        print(f"{phase.name}: {done[-1].ended}, {done[-1].seconds:.0f} s\n", flush=True)
        left.pop(0)
    return done


def run_apart(phase: Phase, folder: Path, host: bool) -> Findings:
    """Runs a phase in a process of its own; what it has found until it ends, however it ends."""
    file_of(phase.name, folder).unlink(missing_ok=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.gpu", phase.name, "--out", str(folder.resolve())]
    process = subprocess.Popen(
        [*command, "--host"] if host else command, cwd=ROOT, env=_environment(host), start_new_session=True
    )
    ended = None
    try:
        if status := process.wait(phase.seconds):
            ended = f"failed: its process ended with {status}"
    except subprocess.TimeoutExpired:
        ended = f"stopped after {phase.seconds:g} s"
    finally:
        # With all that it has started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    findings = read(phase.name, folder) or Findings(phase.name, UNKNOWN, now())
    # A process that could still say how it ended has done so.
    if ended is not None and findings.ended == RUNNING:
        findings.ended = ended
    findings.seconds = time.monotonic() - began
    findings.write(folder)
    return findings


def run_here(phase: Phase, folder: Path, host: bool) -> Findings:
    """Runs a phase in this process. What it raises is its end, and goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    findings = Findings(phase.name, UNKNOWN, now())
    found = Recorder(findings, folder, began + phase.seconds)
    try:
        machine = machines.machine(host)
        findings.machine = machines.name(host)
        phase.run(machine, host, found)
        findings.ended = DONE
    except BaseException as error:
        findings.ended = f"failed: {type(error).__name__}: {error}"
        raise
    finally:
        findings.seconds = time.monotonic() - began
        findings.write(folder)
    return findings


def now() -> str:
    """As ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _environment(host: bool) -> dict[str, str]:
    # jax would take most of the GPU's memory for itself. Threads are of no use to what is small.
    threads = {"OMP_NUM_THREADS": "1"} if host else {}
    own = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **own, **threads}
