"""Solves for tools that watch a process.

python -m benchmarks.gpu.solve {tiny,wide} [--host]
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from benchmarks.gpu import machines
from benchmarks.gpu.machines import solving
from benchmarks.gpu.solves import sized, solved
from flashode.bench.contenders import CONTINUOUS, DISCRETE, FORWARD

# Of few steps and more than one block.
TINY = (
    (sized("demo", 7), FORWARD),
    (sized("demo_rk4", 7), DISCRETE),
    (sized("demo", 7, precision="float64", rtol=1e-4, atol=1e-4), CONTINUOUS),
    (sized("cnf", 3, rtol=1e-3, atol=1e-3), FORWARD),
)
WIDE = ((sized("wide"), FORWARD),) * 3


def main() -> None:
    """Solves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["tiny", "wide"])
    parser.add_argument("--host", action="store_true", help="without a GPU")
    asked = parser.parse_args()
    machine = machines.machine(asked.host)
    on = machines.device(machine).type
    solves = TINY if asked.what == "tiny" else WIDE
    with solving(machine):
        # The host takes seconds to compile each.
        for workload, mode in solves[:1] if asked.host else solves:
            solved(replace(workload, device=on), mode)
    print(f"{len(machine.launches)} launches")


if __name__ == "__main__":
    main()
