"""Compiles a corpus of kernels for six architectures and compares what they take with limits.json.

    cd tests && python -m cuda.check_limits [--update]

It takes two minutes of a processor.

A kernel has a stack, spills, or reads and writes of places not known only where its limits say why
("reason"). None compiles for longer than any should, on however slow a machine.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from cuda.generated import Source
from cuda.machine_code import Code, Inspection, inspect
from flashode.engines.cuda.machine import CompilationError

ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
LIMITS = Path(__file__).with_name("limits.json")
NONE_WITHOUT_REASON = ("stack_bytes", "spill_bytes", "local_accesses", "generic_accesses")
MOST_REGISTERS = 255
# Of a processor, for a source; most take two.
MOST_SECONDS = 15.0

# source: kernel: measure: the most on any architecture; and "reason"
Limits = dict[str, dict[str, dict[str, Any]]]
# source: architecture: what it became, or what the compiler says
Measured = dict[str, dict[str, Inspection | CompilationError]]


def measure(corpus: Mapping[str, Source]) -> Measured:
    """Compiles every source for every architecture, two at a time."""
    with ProcessPoolExecutor(max_workers=2) as processes:
        futures = {
            name: {each: processes.submit(_inspected, source, each) for each in ARCHITECTURES}
            for name, source in corpus.items()
        }
        return {
            source: {architecture: _outcome(future) for architecture, future in row.items()}
            for source, row in futures.items()
        }


def _inspected(source: Source, architecture: str) -> Inspection:
    """What a source becomes, its kernels' shared memory with what their launches ask for."""
    inspection = inspect(source.text, architecture)
    kernels = {
        name: replace(code, shared_bytes=code.shared_bytes + source.shared_bytes)
        for name, code in inspection.kernels.items()
    }
    return replace(inspection, kernels=kernels)


def _outcome(future: Future[Inspection]) -> Inspection | CompilationError:
    error = future.exception()
    if error is None or isinstance(error, CompilationError):
        return error or future.result()
    raise error


def excesses(measured: Measured, limits: Limits) -> Iterator[str]:
    """Everything that is not as the limits say, a line each."""
    for source, row in measured.items():
        for architecture, result in row.items():
            if isinstance(result, CompilationError):
                yield f"{source} {architecture}: it does not compile\n{result}"
                continue
            if result.seconds > MOST_SECONDS:
                yield f"{source} {architecture}: {result.seconds:.0f} s to compile > {MOST_SECONDS:.0f}"
            for kernel, code in result.kernels.items():
                limit = limits.get(source, {}).get(kernel)
                if limit is None:
                    yield f"{source} {architecture} {kernel}: it has no limits"
                else:
                    yield from (f"{source} {architecture} {kernel}: {why}" for why in _over(code, limit))
    for source, kernels in limits.items():
        for kernel, limit in kernels.items():
            if not any(kernel in _kernels_of(result) for result in measured.get(source, {}).values()):
                yield f"{source} {kernel}: it has limits, but is not in the corpus"
            if "reason" not in limit and any(limit.get(measure) for measure in NONE_WITHOUT_REASON):
                yield f"{source} {kernel}: its limits say not why"


def _kernels_of(result: Inspection | CompilationError) -> dict[str, Code]:
    return result.kernels if isinstance(result, Inspection) else {}


def _over(code: Code, limit: Mapping[str, Any]) -> Iterator[str]:
    for name in ("registers", "instructions", "shared_bytes", *NONE_WITHOUT_REASON):
        value, most = getattr(code, name), limit.get(name, 0)
        if value > most:
            yield f"{name} {value} > {most}"


def updated(measured: Measured, limits: Limits) -> Limits:
    """Limits a little above what was measured; what needs a reason stays as it is."""
    new: Limits = {}
    for source, row in measured.items():
        if any(isinstance(result, CompilationError) for result in row.values()):
            new[source] = limits.get(source, {})
            continue
        codes = [item for result in row.values() for item in _kernels_of(result).items()]
        for kernel in sorted({name for name, _ in codes}):
            registers = max(code.registers for name, code in codes if name == kernel)
            instructions = max(code.instructions for name, code in codes if name == kernel)
            shared = max(code.shared_bytes for name, code in codes if name == kernel)
            before = limits.get(source, {}).get(kernel, {})
            new.setdefault(source, {})[kernel] = {
                "registers": min(registers + 8, MOST_REGISTERS),
                "instructions": 10 * math.ceil(instructions * 0.11),
                **({"shared_bytes": shared} if shared else {}),
                **{name: before[name] for name in (*NONE_WITHOUT_REASON, "reason") if name in before},
            }
    return new


def table(measured: Measured) -> Iterator[str]:
    """What was measured, a line for each kernel and architecture."""
    yield (
        f"{'source':24}{'kernel':20}{'':8}{'registers':>10}{'instructions':>13}{'shared':>8}{'stack':>7}{'spills':>8}"
        f"{'local':>7}{'generic':>9}{'cubin':>9}{'seconds':>9}"
    )
    for source, row in measured.items():
        for architecture, result in row.items():
            if isinstance(result, CompilationError):
                continue
            for kernel, code in result.kernels.items():
                yield (
                    f"{source:24}{kernel:20}{architecture:8}{code.registers:10}{code.instructions:13}"
                    f"{code.shared_bytes:8}{code.stack_bytes:7}{code.spill_bytes:8}{code.local_accesses:7}"
                    f"{code.generic_accesses:9}{result.cubin_bytes:9}{result.seconds:9.2f}"
                )


def main(corpus: Mapping[str, Source], update: bool) -> int:
    """Prints the table and what exceeds; how many things do."""
    measured = measure(corpus)
    limits: Limits = json.loads(LIMITS.read_text()) if LIMITS.exists() else {}
    if update:
        limits = updated(measured, limits)
        LIMITS.write_text(json.dumps(limits, indent=2, sort_keys=True) + "\n")
    over = list(excesses(measured, limits))
    print(*table(measured), *over, sep="\n")
    return len(over)


if __name__ == "__main__":
    from cuda.corpus import corpus

    sys.exit(main(corpus(), "--update" in sys.argv[1:]) > 0)
