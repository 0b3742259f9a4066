"""Compiles the corpus by nvcc, whose front end sees missing annotations that NVRTC hides.

    cd tests && python -m cuda.check_nvcc [--all]

Of whole solves those that have every header and every operation between them, unless all are asked for.
Warnings are errors. For one architecture and no further than PTX: our code is the same for all of them, and
what may differ between them is behind that, where NVRTC does the same (check_limits.py).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cuda.generated import Source

CSRC = Path(__file__).parents[2] / "csrc"

# 177: a field has members that not every kernel refers to.
NVCC = (
    *("nvcc", "-std=c++20", "-arch=sm_90", "-ptx", "-o", "/dev/null", f"-I{CSRC}"),
    *("-Werror=all-warnings", "-diag-suppress=177"),
)


def complaint(source: str) -> str:
    """What nvcc says of a source text; empty where it has no complaint."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "source.cu")
        file.write_text(source)
        done = subprocess.run([*NVCC, str(file)], capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def main(corpus: Mapping[str, Source]) -> int:
    """Prints what nvcc says of each source, two at a time; how many it refuses."""
    with ThreadPoolExecutor(max_workers=2) as threads:
        texts = [source.text for source in corpus.values()]
        complaints = dict(zip(corpus, threads.map(complaint, texts), strict=True))
    for source, text in complaints.items():
        print(f"{source}: {text or 'compiles by nvcc'}")
    return sum(map(bool, complaints.values()))


if __name__ == "__main__":
    from cuda.corpus import SHORT, VARIED, corpus

    chosen = corpus()
    if "--all" not in sys.argv[1:]:
        chosen = {name: chosen[name] for name in SHORT + VARIED}
    sys.exit(main(chosen) > 0)
