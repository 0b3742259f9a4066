"""Compiles device code by NVRTC, from the wheel nvidia-cuda-nvrtc: no toolkit and no GPU is needed.

    python tests/cuda/compile_nvrtc.py tests/cuda/compile_solve.cu

NVRTC needs no annotations of what runs where (``-default-device``) and so hides missing ones, which nvcc
refuses: sources are compiled by both.
"""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = (
    "--gpu-architecture=sm_90",
    "--std=c++20",
    "-default-device",
    f"--include-path={HERE.parents[1] / 'csrc'}",
    f"--include-path={HERE / 'std'}",
)


def load() -> ctypes.CDLL:
    """The library of the wheel, and before it its built-in functions, which it does not find by itself."""
    nvidia = find_spec("nvidia")
    roots = [] if nvidia is None else [Path(root) for root in nvidia.submodule_search_locations or ()]
    builtins = [path for root in roots for path in root.rglob("libnvrtc-builtins.so.*")]
    libraries = [path for root in roots for path in root.rglob("libnvrtc.so.*")]
    if not builtins or not libraries:
        sys.exit("there is no NVRTC: pip install nvidia-cuda-nvrtc")
    ctypes.CDLL(str(builtins[-1]), ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(libraries[-1]))


def compiled(nvrtc: ctypes.CDLL, source: Path) -> tuple[int, str]:
    """Bytes of the machine code that a file compiles to, 0 if it does not, and what the compiler says."""
    program = ctypes.c_void_p()
    options = (ctypes.c_char_p * len(OPTIONS))(*[option.encode() for option in OPTIONS])
    name = source.name.encode()
    if nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.read_bytes(), name, 0, None, None):
        sys.exit("NVRTC makes no program")
    failed = nvrtc.nvrtcCompileProgram(program, len(OPTIONS), options)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return 0 if failed else size.value, log.value.decode()


if __name__ == "__main__":
    library = load()
    for argument in sys.argv[1:]:
        size, log = compiled(library, Path(argument))
        print(f"{argument}: {size} bytes by NVRTC", log, sep="\n")
        if not size:
            sys.exit(1)
