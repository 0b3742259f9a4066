"""Compiles device code by NVRTC, as the CUDA engine does: no toolkit and no GPU is needed.

    cd tests && python -m cuda.compile_nvrtc cuda/compile_solve.cu

NVRTC needs no annotations of what runs where and so hides missing ones, which nvcc refuses: sources are
compiled by both.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flashode.engines.cuda import nvrtc
from flashode.engines.cuda.machine import CompilationError

NEWEST = 13  # there is no driver here that would say
ARCHITECTURE = "sm_90"


def main(sources: list[str]) -> None:
    """Compiles each, and ends with what the compiler says of the first that it refuses."""
    try:
        compiler = nvrtc.load(NEWEST)
        for source in sources:
            image, log = compiler.compile(Path(source).read_text(), source, compiler.target(ARCHITECTURE))
            print(f"{source}: {len(image)} bytes by {compiler}", log, sep="\n")
    except CompilationError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
