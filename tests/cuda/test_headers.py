"""Headers that kernels are made of, each by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashode.engines.cuda.nvrtc import Nvrtc

CSRC = Path(__file__).parents[2] / "csrc"
HEADERS = [
    str(path.relative_to(CSRC))
    for room in ("numerics", "solve", "cuda")
    for path in sorted((CSRC / room).glob("*.hpp"))
]
KERNEL = 'extern "C" __global__ void nothing() {}'


@pytest.mark.parametrize("header", HEADERS)
def test_nvrtc_takes_it_alone(compiler: Nvrtc, header: str) -> None:
    image, log = compiler.compile(f'#include "{header}"\n{KERNEL}', "alone.cu", compiler.target("sm_80"))
    assert image and not log, log
