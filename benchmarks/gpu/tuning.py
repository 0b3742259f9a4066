"""Choices of the engine, measured: the barrier between blocks, and the mapping of a batch."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from unittest.mock import patch

from torch import Tensor

import flashode
from benchmarks.gpu import barrier, machines
from benchmarks.gpu.findings import Recorder
from benchmarks.gpu.machines import Watched, solving
from benchmarks.gpu.solves import sized, solved
from flashode.bench.contenders import FORWARD
from flashode.bench.tasks.workloads import Workload
from flashode.engines.cuda import design
from flashode.engines.cuda.choice import forward_mapping
from flashode.engines.cuda.mapping import Mapping
from flashode.engines.cuda.source import forward_text
from flashode.methods import TABLEAUX
from flashode.program import Program, Y

LANES = (4, 8, 16, 32, 64)
THREADS = (64, 128, 256)
LANES_ON_HOST = (2, 4)
THREADS_ON_HOST = (32,)
REPEATS = 7
COMPILERS = 8


def run(machine: Watched, host: bool, found: Recorder) -> None:
    """The whole phase."""
    barrier.measure(machine, host, found)
    on = machines.device(machine).type
    if host:
        sweep(machine, sized("demo", 7, device=on), host, found)
        return
    sweep(machine, sized("wide", device=on), host, found)
    sweep(machine, sized("flow", 65_536, device=on), host, found)


def sweep(machine: Watched, workload: Workload, host: bool, found: Recorder) -> None:
    """Kernel times of a workload over mappings, the engine's own among them."""
    field, y0, times = workload.make()
    assert isinstance(y0, Tensor)
    with solving(machine):
        explanation = flashode.explain(field, y0, times, method=workload.method)
    program, batch = explanation.program, explanation.trajectories
    if program is None or batch is None:
        found.add(f"mapping: {workload.name}", False, "it is not captured")
        return
    stages = TABLEAUX[workload.method].stages
    properties = machine.properties(y0.device)
    own = forward_mapping(program, batch, y0.dtype, stages, properties, record=False)
    chosen = product(*((LANES_ON_HOST, THREADS_ON_HOST) if host else (LANES, THREADS)))
    mappings = {own, *(replace(own, lanes=lanes, threads=threads) for lanes, threads in chosen)}
    compile_all(machine, program, workload, mappings)
    for mapping in sorted(mappings, key=lambda one: (one.lanes, one.threads)):
        what = f"mapping: {workload.name}, {mapping.lanes} lanes, {mapping.threads} threads"
        what += " (chosen)" if mapping == own else ""
        before = len(machine.launches)
        try:
            with solving(machine), patch.object(design, "forward_mapping", lambda *_, its=mapping: its):
                for _ in range(1 if host else REPEATS + 1):
                    solved(workload, FORWARD)
        except (RuntimeError, ValueError) as error:
            found.add(what, None, f"it does not fit: {error}".splitlines()[0])
            continue
        seconds = [launch.seconds for launch in machine.launches[before + 1 :] if launch.seconds is not None]
        blocks = machine.launches[-1].blocks
        measured = {"ms": statistics.median(seconds) * 1e3} if seconds else {}
        found.add(what, None, numbers={"blocks": blocks, **measured})


def compile_all(machine: Watched, program: Program, workload: Workload, mappings: set[Mapping]) -> None:
    """Compiles the kernels of all mappings, several at a time."""
    on = machines.device(machine)
    control = TABLEAUX[workload.method].control
    texts = [
        forward_text(program, [program.widths[Y]], workload.dtype, mapping, control, False)
        for mapping in mappings
    ]
    with ThreadPoolExecutor(1 if on.type == "cpu" else COMPILERS) as compilers:
        list(compilers.map(lambda text: machine.kernel(text.source, text.name, on), texts))
