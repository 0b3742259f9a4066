"""What a source becomes on a GPU, without one: what each kernel takes, and the instructions that it has.

    cd tests && python -m cuda.machine_code cuda/compile_step.cu sm_90

NVRTC compiles; its assembler says what a kernel takes, and nvdisasm, of the wheel nvidia-cuda-nvdisasm or of
a toolkit, lists the instructions.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path

from cuda.compile_nvrtc import NEWEST
from flashode.engines.cuda import nvrtc

KERNEL = re.compile(r"Compiling entry function '(\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")
STACK = re.compile(r"(\d+) bytes cumulative stack size")
SHARED = re.compile(r"(\d+) bytes smem")
SECTION = re.compile(r"\s*\.section\s+\.text\.(\w+)")
INSTRUCTION = re.compile(r"\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)")


@dataclass(frozen=True)
class Code:
    """One kernel, with the functions that it calls.

    Attributes:
        registers: Of a thread.
        stack_bytes: Of a thread: arrays that are indexed at run time, and what is kept across calls.
        spill_bytes: Stored and loaded because registers did not suffice.
        shared_bytes: Of a block, as far as they are known when it is compiled.
        instructions: In the machine code, without what fills its last line.
        local_accesses: Instructions that read or write a thread's stack.
        generic_accesses: Instructions that read or write through a pointer of which it is not known where it
            points: shared memory is slower that way.
    """

    registers: int
    stack_bytes: int
    spill_bytes: int
    shared_bytes: int
    instructions: int
    local_accesses: int
    generic_accesses: int


MEASURES = tuple(field.name for field in fields(Code))


@dataclass(frozen=True)
class Inspection:
    """A source compiled for one architecture.

    Attributes:
        kernels: Each by its name.
        cubin_bytes: Of the machine code.
        seconds: Of a processor, that NVRTC took.
    """

    kernels: dict[str, Code]
    cubin_bytes: int
    seconds: float


def inspect(source: str, architecture: str) -> Inspection:
    """Compiles a source text and counts.

    Args:
        source: C++ over the headers in ``csrc``.
        architecture: Such as ``"sm_90"``.

    Raises:
        CompilationError: NVRTC refuses the text, or there is none.
    """
    compiler = nvrtc.load(NEWEST)
    start = time.process_time()
    cubin, log = compiler.compile(source, "source.cu", architecture, "--ptxas-options=-v")
    seconds = time.process_time() - start
    opcodes = _opcodes(cubin)
    kernels = {
        kernel: Code(**taken, **_counted(opcodes[kernel])) for kernel, taken in _resources(log).items()
    }
    return Inspection(kernels, len(cubin), seconds)


def nvdisasm() -> str | None:
    """Where the disassembler is: that of the wheel, or of a toolkit."""
    nvidia = find_spec("nvidia")
    roots = [] if nvidia is None else nvidia.submodule_search_locations or ()
    of_wheel = [str(path) for root in roots for path in Path(root).rglob("bin/nvdisasm")]
    return of_wheel[-1] if of_wheel else shutil.which("nvdisasm")


def _resources(log: str) -> dict[str, dict[str, int]]:
    """What each kernel takes, by the assembler's words: a part for each, with those on what it calls."""
    _, *parts = KERNEL.split(log)
    return {name: _taken(part) for name, part in zip(parts[::2], parts[1::2], strict=True)}


def _taken(part: str) -> dict[str, int]:
    frames = [[int(number) for number in frame] for frame in FRAME.findall(part)]
    return {
        "registers": _number(REGISTERS, part),
        "stack_bytes": max(_number(STACK, part), *(frame for frame, _, _ in frames)),
        "spill_bytes": sum(stored + loaded for _, stored, loaded in frames),
        "shared_bytes": _number(SHARED, part),
    }


def _number(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.search(text)
    return 0 if match is None else int(match[1])


def _opcodes(cubin: bytes) -> dict[str, Counter[str]]:
    """How often each kernel has each instruction, without its modifiers."""
    program = nvdisasm()
    if program is None:
        sys.exit("there is no nvdisasm: pip install nvidia-cuda-nvdisasm")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        listing = subprocess.run(
            [program, "-c", file.name], check=True, capture_output=True, text=True
        ).stdout
    counts: dict[str, Counter[str]] = {}
    for line in listing.splitlines():
        if section := SECTION.match(line):
            current = counts.setdefault(section[1], Counter())
        elif instruction := INSTRUCTION.match(line):
            current[instruction[1]] += 1
    return counts


def _counted(opcodes: Counter[str]) -> dict[str, int]:
    return {
        "instructions": opcodes.total() - opcodes["NOP"],
        "local_accesses": opcodes["LDL"] + opcodes["STL"],
        "generic_accesses": opcodes["LD"] + opcodes["ST"] + opcodes["ATOM"],
    }


def main(file: str, architecture: str) -> None:
    """Prints what is to be known of a file."""
    inspection = inspect(Path(file).read_text(), architecture)
    for kernel, code in inspection.kernels.items():
        print(kernel, *(f"  {measure:17}{getattr(code, measure):8}" for measure in MEASURES), sep="\n")
    print(f"{inspection.cubin_bytes} bytes, compiled in {inspection.seconds:.2f} s of a processor")


if __name__ == "__main__":
    main(*sys.argv[1:])
