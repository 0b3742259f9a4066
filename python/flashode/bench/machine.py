"""What the numbers of a run depend on: the machine, the versions, and the sources."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

import flashode
from flashode.bench.contenders import contenders
from flashode.bench.measuring.memory import physical_memory

_SOURCES = Path(__file__).parent
# What the contenders' packages compute with.
_BENEATH = ("numpy", "torch")


def machine(device: str = "cpu") -> dict[str, str | int | float]:
    """The machine, by what a reader would call it, with the device if contenders compute on one."""
    built = flashode.build_info()
    facts: dict[str, str | int | float] = {
        "processor": processor(),
        "usable processors": usable_processors(),
        "memory in GiB": round(physical_memory() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "instruction set": str(built["instruction_set"]),
        "compiler": str(built["compiler"]),
    }
    if device == "cuda":
        facts["device"] = torch.cuda.get_device_name()
    return facts


def load() -> float | None:
    """The processes that wanted a processor in the last minute, on average; None where nothing tells."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def usable_processors() -> int:
    """How many logical processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's name, or its architecture where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.machine()


def versions() -> dict[str, str]:
    """The versions of Python, of every contender that is installed, and of what they compute with."""
    wanted = {package for one in contenders() for package in one.packages} | set(_BENEATH)
    installed = {"python": platform.python_version(), "flashode": flashode.__version__}
    for name in sorted(wanted - installed.keys()):
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def commit(sources: Path = _SOURCES) -> str:
    """The commit of the sources that run, "-dirty" at its end after edits; empty outside a checkout."""
    # An environment may lie in some other project's checkout, whose commit says nothing.
    if not _output("git", "-C", str(sources), "ls-files", "--", "*.py"):
        return ""
    head = _output("git", "-C", str(sources), "rev-parse", "--short=12", "HEAD")
    edited = _output("git", "-C", str(sources), "status", "--porcelain")
    return f"{head}-dirty" if head and edited else head


def _output(*command: str) -> str:
    """What a program prints; empty where it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
