"""The text of the forward kernel: a Program as types and calls over the headers in ``csrc/cuda``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from flashode.engines.cuda.field_text import FieldText
from flashode.engines.cuda.mapping import Mapping
from flashode.methods.control import Control
from flashode.program import Program


@dataclass(frozen=True)
class KernelText:
    """A kernel to be compiled.

    Attributes:
        source: C++.
        name: Of its function.
        shared_bytes: Shared memory of a block, beside that of its stages.
    """

    source: str
    name: str
    shared_bytes: int


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
