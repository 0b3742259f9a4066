"""Tiny solves under compute-sanitizer. The host's kernels have sanitizers in tests/cuda/test_sanitized.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import wait
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.gpu import machines
from benchmarks.gpu.ahead import compiled_ahead, precompile
from benchmarks.gpu.findings import Recorder
from benchmarks.gpu.machines import Watched
from benchmarks.gpu.solve import TINY

TOOLS = ("memcheck", "racecheck", "synccheck")
# Lines of what a tool says that are kept.
KEPT = 12
# Left to say so when a tool is stopped.
RESERVE = 5.0
# What they are called.
KERNELS = ("forward", "discrete_vjp", "continuous_vjp")
LONGEST_COMPILATION = 15.0
SOLVE = (sys.executable, "-m", "benchmarks.gpu.solve", "tiny")


def run(machine: Watched, host: bool, found: Recorder) -> None:
    """The whole phase."""
    if host:
        watch({"the solves, with no tool": [*SOLVE, "--host"]}, dict(os.environ), found)
        return
    program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(program).exists():
        found.add("compute-sanitizer", None, "it is not installed")
        return
    # Each tensor an allocation of its own, so that what is written beside it is found; and all tools at a
    # time, because most of what they take is the start of their process.
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1", "CUDA_MODULE_LOADING": "LAZY"}
    # Of the kernels that run, those of torch are not ours to watch; ours are compiled once for all tools.
    ours = [argument for name in KERNELS for argument in ("--kernel-name", f"kns={name}")]
    options = [*ours, "--error-exitcode", "1"]
    commands = {tool: [program, "--tool", tool, *options, *SOLVE] for tool in TOOLS}
    on = machines.device(machine).type
    jobs = [partial(precompile, replace(workload, device=on), mode) for workload, mode in TINY]
    with compiled_ahead(machine, jobs) as compiled:
        wait([one for one in compiled if one is not None], timeout=LONGEST_COMPILATION)
    watch(commands, environment, found)


def watch(commands: dict[str, list[str]], environment: dict[str, str], found: Recorder) -> None:
    """Runs all commands at the same time; each finds nothing, or what it says is kept."""
    started = {
        name: subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for name, command in commands.items()
    }
    for name, process in started.items():
        try:
            output, _ = process.communicate(timeout=max(found.seconds_left - RESERVE, 0.0))
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            found.add(name, False, "stopped: there is no time left\n" + _end(output))
            continue
        well = process.returncode == 0
        found.add(name, well, "nothing found" if well else _end(output))


def _end(output: str) -> str:
    return "\n".join(output.splitlines()[-KEPT:])
