"""Solves for tools that watch a process.

python -m benchmarks.gpu.solve {tiny,wide} [--host]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace

from torch import Tensor

import flashode
from benchmarks.gpu import machines
from benchmarks.gpu.machines import Watched, solving
from benchmarks.gpu.solves import sized, solved
from flashode.bench.contenders import CONTINUOUS, DISCRETE, FORWARD
from flashode.bench.tasks.workloads import Workload

Solve = tuple[Workload, str]

# Of few steps and more than one block; paused ones last.
TINY = (
    (sized("demo", 7), FORWARD),
    (sized("demo_rk4", 7), DISCRETE),
    (sized("demo", 7), DISCRETE),
    (sized("demo", 7, precision="float64", rtol=1e-4, atol=1e-4), CONTINUOUS),
    (sized("cnf", 3, rtol=1e-3, atol=1e-3), CONTINUOUS),
)
PAUSED = TINY[2:4]
PAUSE_EVERY = 1
WIDE = ((sized("wide"), FORWARD),) * 3


def tiny(machine: Watched, whole: Iterable[Solve], paused: Iterable[Solve], on: str) -> None:
    """Solves that a tool can watch, one of them to an event."""
    for budget, solves in ((None, whole), (PAUSE_EVERY, paused)):
        with solving(machine, budget):
            for workload, mode in solves:
                solved(replace(workload, device=on), mode)
    with solving(machine):
        to_event(on)


def to_event(on: str) -> None:
    """There and back."""
    field, y0, times = sized("demo", 7, device=on).make()
    assert isinstance(y0, Tensor)
    y0.requires_grad_()
    time, states = flashode.odeint_event(field, y0, times[0], event_fn=lambda t, y: t - 0.01 + 0 * y.sum())
    (states.sum() + time).backward()


def main() -> None:
    """Solves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["tiny", "wide"])
    parser.add_argument("--host", action="store_true", help="without a GPU")
    asked = parser.parse_args()
    machine = machines.machine(asked.host)
    on = machines.device(machine).type
    if asked.what == "tiny":
        # The host takes seconds to compile each.
        tiny(machine, TINY[:1] if asked.host else TINY, () if asked.host else PAUSED, on)
    else:
        with solving(machine):
            for workload, mode in WIDE[:1] if asked.host else WIDE:
                solved(replace(workload, device=on), mode)
    print(f"{len(machine.launches)} launches")


if __name__ == "__main__":
    main()
