"""Checks and measures the CUDA engine on a GPU.

python -m benchmarks.gpu --out DIR            # everything, in at most eight minutes, and the table
python -m benchmarks.gpu --out DIR --host     # a dry run without a GPU: small, and measuring nothing
python -m benchmarks.gpu parity --out DIR     # one phase
python -m benchmarks.gpu table --out DIR      # the table of what is in DIR
python -m benchmarks.gpu publish --out DIR    # the table into benchmarks/results, and README's part
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.gpu import machines, publish, table
from benchmarks.gpu.findings import Findings, read
from benchmarks.gpu.phases import PHASES
from benchmarks.gpu.running import run_all, run_here

TABLE = "table.md"


def main() -> int:
    """Runs what is asked for; 1 if anything was not as it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "what", nargs="?", choices=[*PHASES, "table", "publish"], help="everything, unless it is given"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder for what is found")
    parser.add_argument("--host", action="store_true", help="run kernels on the host, without a GPU")
    asked = parser.parse_args()
    folder: Path = asked.out
    if folder.exists() and not folder.is_dir():
        parser.error(f"--out is {folder}, which is a file; a folder is needed")
    try:
        if asked.what in PHASES:
            return bool(run_here(PHASES[asked.what], folder, asked.host).failed)
        if asked.what is None:
            machines.machine(asked.host)
            phases = run_all(PHASES.values(), folder, asked.host)
        else:
            phases = _found(folder)
        if asked.what == "publish":
            print(*publish.publish(phases), sep="\n")
            return 0
    except (machines.NoGpu, OSError, ValueError) as error:
        print(f"python -m benchmarks.gpu: {error}", file=sys.stderr)
        return 2
    text = table.text(phases)
    print(text)
    (folder / TABLE).write_text(text, encoding="utf-8")
    return not table.is_well(phases)


def _found(folder: Path) -> list[Findings]:
    """What is in a folder.

    Raises:
        ValueError: Nothing is.
    """
    found = [one for one in (read(name, folder) for name in PHASES) if one is not None]
    if not found:
        raise ValueError(f"--out is {folder}, where no phase has left what it found")
    return found


if __name__ == "__main__":
    sys.exit(main())
