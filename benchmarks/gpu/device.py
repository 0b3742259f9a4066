"""What there is: versions, the device, kernels that load, and how many of their blocks it holds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import torch

from benchmarks.gpu import machines
from benchmarks.gpu.findings import Recorder
from benchmarks.gpu.machines import TESTS, Watched, solving, solving_natively
from benchmarks.gpu.occupancy import predicted
from benchmarks.gpu.solves import difference, sized, solved
from cuda import corpus
from flashode.bench import machine as bench_machine
from flashode.bench.contenders import DISCRETE
from flashode.engines.cuda.launch import Launcher
from flashode.engines.cuda.machine import CompilationError

KERNEL = re.compile(r"(?:__global__ void|FLASHODE_KERNEL\([^)]*\))\s+(\w+)\(")
# Workloads whose kernels' occupancy is compared, with how many trajectories.
OCCUPIED = {"demo": 20, "latent": 1000, "wide": 256, "flow": 4096}
OCCUPIED_ON_HOST = {"demo": 7}
COMPILERS = 8
# On two devices, in float64; those in times are the least exact.
APART = 1e-5
MOST_REGISTERS = 255
# The state of the device that times depend on.
ASKED = "driver_version,temperature.gpu,clocks.sm,clocks.max.sm,clocks.mem,power.limit,persistence_mode"


def run(machine: Watched, host: bool, found: Recorder) -> None:
    """The whole phase."""
    on = machines.device(machine)
    versions = bench_machine.versions()
    versions |= {"cuda": torch.version.cuda or "none", "commit": bench_machine.commit()}
    found.add("versions", None, numbers=versions)
    found.add("machine", None, numbers=bench_machine.machine(on.type))
    found.add("device", None, numbers=asdict(machine.properties(on)))
    clocks(found)
    pinned(machine, on, found)
    another(machine, on, found)
    for name, batch in (OCCUPIED_ON_HOST if host else OCCUPIED).items():
        occupancy(machine, name, batch, on, found)
    # The corpus is for NVRTC: its functions are CUDA's own.
    if host:
        found.add("corpus", None, "not compiled: it is for a GPU")
    else:
        load_corpus(machine, on, found)


def pinned(machine: Watched, on: torch.device, found: Recorder) -> None:
    """What kernels write to of the host's memory stays where it is."""
    memory = Launcher(machine).pinned(64, on)
    found.add("pinned memory", memory.is_pinned() if on.type == "cuda" else None)


def another(machine: Watched, on: torch.device, found: Recorder) -> None:
    """A solve on another device than the current one, there and back."""
    count = torch.cuda.device_count()
    if on.type != "cuda" or count < 2:
        found.add("another device", None, "there is none")
        return
    work, current = sized("demo", 7, precision="float64"), torch.cuda.current_device()
    with solving(machine):
        ours = solved(replace(work, device=f"cuda:{(current + 1) % count}"), DISCRETE)
    with solving_natively():
        right = solved(work, DISCRETE)
    pairs = (ours.states, right.states), (ours.gradients, right.gradients)
    apart = max(difference(*pair) for pair in pairs)
    left = torch.cuda.current_device() == current
    found.add("another device", apart <= APART and left, "", {"apart": apart})


def clocks(found: Recorder) -> None:
    """What nvidia-smi tells of the device, where it is."""
    program = shutil.which("nvidia-smi")
    if program is None:
        found.add("clocks", None, "there is no nvidia-smi")
        return
    query = [program, f"--query-gpu={ASKED}", "--format=csv,noheader", "--id=0"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    found.add("clocks", None, numbers=dict(zip(ASKED.split(","), answer.split(", "), strict=False)))


def load_corpus(machine: Watched, on: torch.device, found: Recorder) -> None:
    """Every kernel of the corpus loads, takes no more registers than its limits say, and has no stack."""
    limits = json.loads((TESTS / "cuda" / "limits.json").read_text(encoding="utf-8"))
    sources = {name: source.text for name, source in corpus.corpus().items()}

    def faults(source: str) -> list[str]:
        names = KERNEL.findall(sources[source])
        loaded = [
            fault(machine, sources[source], name, limits.get(source, {}).get(name, {}), on) for name in names
        ]
        return [one for one in loaded if one] if names else ["it has no kernels"]

    with ThreadPoolExecutor(COMPILERS) as compilers:
        for source, wrong in zip(sources, compilers.map(faults, sources), strict=True):
            found.add(f"corpus: {source}", not wrong, "; ".join(wrong))


def fault(machine: Watched, text: str, name: str, limit: dict[str, int], on: torch.device) -> str:
    """What is wrong with a kernel, if anything."""
    try:
        takes = machine.kernel(text, name, on).resources
    except (CompilationError, RuntimeError) as error:
        return f"{name}: {error}"
    if takes.registers > limit.get("registers", MOST_REGISTERS):
        return f"{name}: {takes.registers} registers"
    if takes.local_bytes > limit.get("stack_bytes", 0) + limit.get("spill_bytes", 0):
        return f"{name}: {takes.local_bytes} bytes of a thread's own"
    return ""


def occupancy(machine: Watched, name: str, batch: int, on: torch.device, found: Recorder) -> None:
    """Blocks on a multiprocessor are as many as registers and shared memory let expect."""
    before = len(machine.launches)
    with solving(machine):
        solved(replace(sized(name, batch), device=on.type), DISCRETE)
    for launch in machine.launches[before:]:
        expected = predicted(launch, machine.properties(on))
        found.add(
            f"occupancy: {name}, {launch.name}",
            launch.together == expected,
            "" if launch.together == expected else f"{expected} blocks expected",
            {
                "blocks": launch.blocks,
                "threads": launch.threads,
                "together": launch.together,
                "registers": launch.resources.registers,
                "local bytes": launch.resources.local_bytes,
                "shared bytes": launch.shared_bytes,
            },
        )
