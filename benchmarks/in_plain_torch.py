"""Times flashode beside torchdiffeq on fields that it cannot compile, which it then solves in plain PyTorch.

python -m benchmarks.in_plain_torch
python -m benchmarks.in_plain_torch --runs 31
"""

import argparse
import os
import warnings

from rich.console import Console

import flashode
from benchmarks.against_torchdiffeq import measure, show
from benchmarks.eager_workloads import EAGER_WORKLOADS
from benchmarks.jobs import MODES


def main() -> None:
    """Reads the options, measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15, help="samples of each solver (default: 15)")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error(f"argument --runs: must be at least 1, got {arguments.runs}")
    load = os.getloadavg()[0]
    # As a user calls it: that the compiled engine declines these is part of what is timed.
    warnings.simplefilter("ignore", flashode.FallbackWarning)
    rows = [
        measure(workload, mode, arguments.runs) for workload in EAGER_WORKLOADS.values() for mode in MODES
    ]
    show(rows, arguments.runs, load, Console(highlight=False, width=100), "benchmarks.in_plain_torch")


if __name__ == "__main__":
    main()
