"""The texts of kernels: a Program as types and calls over the headers in ``csrc/cuda``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch

from flashode.engines.cuda.field_text import FieldText
from flashode.engines.cuda.mapping import Mapping
from flashode.engines.cuda.vjp_text import VjpText
from flashode.methods.control import Control
from flashode.program import C, Program, T, Y


@dataclass(frozen=True)
class KernelText:
    """A kernel to be compiled.

    Attributes:
        source: C++.
        name: Of its function.
        shared_bytes: Shared memory of a block, beside that of its stages.
        accumulated: Numbers in the gradients in parameters.
        meeting: Whether its blocks wait for each other.
    """

    source: str
    name: str
    shared_bytes: int
    accumulated: int = 0
    meeting: bool = True


# Of the 65,536 registers of a multiprocessor, the threads of all blocks that share them: 128 each, or 255 for
# float64 and for the adjoint equations, whose kernel has more numbers at a time. The compiler's own choice is
# as many threads as can be, of half as many registers, which are too few.
_THREADS_TOGETHER = 512
_FEWER_THREADS_TOGETHER = 256


def blocks_together(dtype: torch.dtype, mapping: Mapping, many_registers: bool) -> int:
    """How many blocks of a kernel a multiprocessor has registers for."""
    fewer = many_registers or dtype == torch.float64
    return (_FEWER_THREADS_TOGETHER if fewer else _THREADS_TOGETHER) // mapping.threads


def _kernel(name: str, dtype: torch.dtype, mapping: Mapping, many_registers: bool = False) -> str:
    """The head of a kernel."""
    together = blocks_together(dtype, mapping, many_registers)
    return f"FLASHODE_KERNEL({mapping.threads}, {together}) {name}(FLASHODE_ARGUMENTS Arguments q)"


def real(dtype: torch.dtype) -> str:
    """The type in C++."""
    return {torch.float32: "float", torch.float64: "double"}[dtype]


def forward_text(
    program: Program,
    segments: Sequence[int],
    dtype: torch.dtype,
    mapping: Mapping,
    control: Control,
    every_step: bool,
) -> KernelText:
    """The kernel of a forward solve.

    Args:
        program: The field.
        segments: Rows of each segment of the state.
        dtype: Of the state.
        mapping: How the batch is spread.
        control: Who chooses the steps.
        every_step: Whether every step has outputs, not given times.
    """
    field = FieldText(program, segments, dtype, mapping)
    goal = "every_step" if every_step else "times"
    count = len(program.parameter_shapes)
    source = f"""{field.head("forward.hpp")}
{field.struct()}
using Arguments = flashode::cuda::WithParameters<flashode::cuda::ForwardArguments<{real(dtype)}>, {count}>;

}}  // namespace

{_kernel("forward", dtype, mapping)} {{
    flashode::cuda::forward<Field, flashode::solve::Control::{control}, flashode::cuda::Goal::{goal}>(
        q.common, q.parameters);
}}
"""
    return KernelText(source, "forward", field.shared_bytes)


def event_text(
    program: Program,
    segments: Sequence[int],
    dtype: torch.dtype,
    mapping: Mapping,
    control: Control,
    event: Program,
    event_mapping: Mapping,
) -> KernelText:
    """The kernel of a forward solve that goes on until an event.

    Args:
        program: The field.
        segments: Rows of each segment of the state.
        dtype: Of the state.
        mapping: How the batch is spread.
        control: Who chooses the steps.
        event: Whose rates end it, on one trajectory.
        event_mapping: What of it is in shared memory.
    """
    by_same_threads = replace(event_mapping, threads=mapping.threads)
    ends = FieldText(event, event.widths[Y : Y + 1], dtype, by_same_threads, prefix="Event")
    field = FieldText(program, segments, dtype, mapping, begin=ends.elements)
    own, count = len(program.parameter_shapes), len(event.parameter_shapes)
    common = f"flashode::cuda::ForwardArguments<{real(dtype)}>"
    source = f"""{field.head("forward.hpp")}
{ends.struct()}
{field.struct()}
using Arguments = flashode::cuda::WithParameters<{common}, {own + count}>;

}}  // namespace

{_kernel("forward", dtype, mapping)} {{
    flashode::cuda::forward_to_event<Field, EventField, flashode::solve::Control::{control}>(
        q.common, q.parameters, q.parameters + {own});
}}
"""
    return KernelText(source, "forward", field.shared_bytes)


def discrete_text(
    program: Program,
    segments: Sequence[int],
    dtype: torch.dtype,
    mapping: Mapping,
    parameters: Collection[int],
    with_time: bool,
) -> KernelText:
    """The kernel of the exact reverse.

    Args:
        program: The field.
        segments: Rows of each segment of the state.
        dtype: Of the state.
        mapping: How the batch is spread.
        parameters: Which gradients are wanted in.
        with_time: Whether gradients in times are.
    """
    sources = (Y, C, T) if with_time else (Y, C)
    field = VjpText(program, segments, dtype, mapping, sources, parameters)
    count = len(program.parameter_shapes)
    source = f"""{field.head("tile_reverse.hpp")}
{field.reverse_struct()}
using Arguments = flashode::cuda::WithParameters<flashode::cuda::DiscreteArguments<{real(dtype)}>, {count}>;

}}  // namespace

{_kernel("discrete_vjp", dtype, mapping)} {{
    flashode::cuda::discrete_vjp<Field>(q.common, q.parameters);
}}
"""
    return KernelText(source, "discrete_vjp", field.shared_bytes, field.accumulated, meeting=False)


def continuous_text(
    program: Program,
    segments: Sequence[int],
    dtype: torch.dtype,
    mapping: Mapping,
    control: Control,
    parameters: Collection[int],
    measured: Sequence[tuple[int, int]],
) -> KernelText:
    """The kernel of the adjoint equations.

    Args:
        program: The field.
        segments: Rows of each segment of the state.
        dtype: Of the state.
        mapping: How the batch is spread.
        control: Who chooses the steps.
        parameters: Which gradients are wanted in.
        measured: Ranges of rows of c whose gradients count in the error norm.
    """
    field = VjpText(program, segments, dtype, mapping, (T, Y, C), parameters)
    count = len(program.parameter_shapes)
    begins, ends = zip(*measured, strict=True) if measured else ((0,), (0,))
    ranges = [
        f"    static constexpr int measured = {len(measured)};",
        *_range("begin", begins),
        *_range("end", ends),
    ]
    source = f"""{field.head("adjoint_system.hpp")}
{field.reverse_struct(*ranges)}
using Common = flashode::cuda::ContinuousArguments<{real(dtype)}>;
using Arguments = flashode::cuda::WithParameters<Common, {count}>;

}}  // namespace

{_kernel("continuous_vjp", dtype, mapping, many_registers=True)} {{
    flashode::cuda::continuous_vjp<Field, flashode::solve::Control::{control}>(q.common, q.parameters);
}}
"""
    return KernelText(source, "continuous_vjp", field.shared_bytes, field.accumulated)


def _range(which: str, rows: Sequence[int]) -> list[str]:
    return [
        f"    FLASHODE_DEVICE static constexpr int measured_{which}(int range) {{",
        f"        constexpr int rows[] = {{{', '.join(map(str, rows))}}};",
        "        return rows[range];",
        "    }",
    ]
