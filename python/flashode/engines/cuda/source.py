"""The texts of kernels: a Program as types and calls over the headers in ``csrc/cuda``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

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
    """

    source: str
    name: str
    shared_bytes: int
    accumulated: int = 0


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

FLASHODE_KERNEL({mapping.threads}) forward(FLASHODE_ARGUMENTS Arguments q) {{
    flashode::cuda::forward<Field, flashode::solve::Control::{control}, flashode::cuda::Goal::{goal}>(
        q.common, q.parameters);
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

FLASHODE_KERNEL({mapping.threads}) discrete_vjp(FLASHODE_ARGUMENTS Arguments q) {{
    flashode::cuda::discrete_vjp<Field>(q.common, q.parameters);
}}
"""
    return KernelText(source, "discrete_vjp", field.shared_bytes, field.accumulated)


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

FLASHODE_KERNEL({mapping.threads}) continuous_vjp(FLASHODE_ARGUMENTS Arguments q) {{
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
