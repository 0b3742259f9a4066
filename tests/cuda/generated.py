"""Kernels that the CUDA engine generates for workloads of the benchmark, as an H200 would get them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from flashode.bench.tasks.fields.networks import network
from flashode.bench.tasks.workloads import WORKLOADS
from flashode.capture import Start, capture
from flashode.capture.captured import Capture
from flashode.engines.compiled.layout import Layout
from flashode.engines.cuda.choice import event_mapping, forward_mapping, reverse_mapping, shared_by
from flashode.engines.cuda.machine import Properties
from flashode.engines.cuda.mapping import Mapping
from flashode.engines.cuda.source import (
    KernelText,
    continuous_text,
    discrete_text,
    event_text,
    forward_text,
)
from flashode.methods.control import Control
from flashode.program import (
    Binary,
    C,
    Dense,
    DenseDynamic,
    Gather,
    Parameter,
    Program,
    SegmentSum,
    Select,
    T,
    Unary,
    Y,
)
from flashode.state import State, Structure
from tables import PROGRAMS

H200 = Properties(
    architecture="sm_90",
    multiprocessors=132,
    shared_bytes=227 * 1024,
    shared_bytes_together=228 * 1024,
    reserved_bytes=1024,
    threads_together=2048,
    memory_bytes=141 * 10**9,
)
_STAGES: dict[Control, int] = {"error": 7, "fixed": 4}  # of dopri5 and rk4
_TRAJECTORIES = 65_536  # of a flow that is worth a GPU

# Every kind of operation, of values of trajectories and of those that all of them share.
_EVERYTHING = Program(
    widths=(1, 6, 3, 6, 12, 2, 6, 6, 6, 8, 8, 6, 6, 6, 12, 6),
    ops=(
        Parameter(3, 0),
        Dense(4, T, 1, 2, 1),
        DenseDynamic(5, Y, 4, 1, 1),
        Gather(6, (5, C, 3), (0, 2, 1, 3, 7, 10)),
        Binary(7, 6, Y, "mul"),
        Unary(8, 7, "tanh"),
        Dense(9, 8, 3, 4, 2),
        Unary(10, 9, "softplus", (1.0, 20.0)),
        SegmentSum(11, 10, (0, 1, 2, 3, 4, 5, 0, 3)),
        Binary(12, 11, 7, "lt"),
        Select(13, 12, 8, 11),
        Gather(14, (10, 8), (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 13, 8)),
        DenseDynamic(15, 13, 14, 3, 1),
    ),
    output=15,
    parameter_shapes=((6,), (12, 1), (12,), (4, 3), (4,)),
    shared=2,
)

# Of a state of many parts, each of which counts by itself in error norms.
_PARTS = Program((1, 10, 0, 10), (Unary(3, Y, "tanh"),), output=3, parameter_shapes=(), shared=0)


@dataclass(frozen=True)
class Source:
    """A text of kernels.

    Attributes:
        text: C++ over the headers in ``csrc``.
        shared_bytes: Of shared memory that a block asks for.
    """

    text: str
    shared_bytes: int = 0


def kernels() -> dict[str, Source]:
    """Their texts, each by its name: the workload's, what it does, and what else there is to it."""
    spiral, demo, latent = _workload("spiral"), _workload("demo"), _workload("latent")
    wide, cnf, lorenz = _workload("wide"), _workload("cnf"), _workload("lorenz")
    flow = replace(_workload("flow"), batch=_TRAJECTORIES)
    large = _captured(network(512, 512, 512).module(), torch.zeros(1024, 512))
    everything = Batched(_EVERYTHING, (4, 2), 4096)
    parts = Batched(_PARTS, (1,) * 10, 4096)
    tables = Batched(PROGRAMS["at state"], (4,), 4096)
    return {
        "spiral_forward": spiral.forward(),
        "demo_forward_rk4": demo.forward("fixed"),
        "demo_event": demo.to_event(),
        "latent_forward": latent.forward(),
        "wide_forward": wide.forward(),
        "wide_forward_float64": replace(wide, dtype=torch.float64).forward(),
        "flow_forward": flow.forward(),
        "lorenz_forward_every_step": lorenz.forward(every_step=True),
        "large_forward": large.forward(),
        "demo_discrete_times_float64": replace(demo, dtype=torch.float64).discrete(with_time=True),
        "wide_discrete": wide.discrete(),
        "flow_discrete": flow.discrete(),
        "large_discrete": large.discrete(),
        "everything_discrete_times": everything.discrete(with_time=True),
        "flow_continuous": flow.continuous(),
        "cnf_continuous": cnf.continuous(),
        "everything_continuous_rk4": everything.continuous("fixed"),
        "parts_continuous": parts.continuous(),
        "searches_forward": Batched(PROGRAMS["searches"], (4,), 4096).forward(),
        "tables_discrete_times": tables.discrete(with_time=True),
        "tables_continuous": tables.continuous(),
    }


@dataclass(frozen=True)
class Batched:
    """A field, and the batch that kernels are for."""

    program: Program
    segments: Sequence[int]
    batch: int
    dtype: torch.dtype = torch.float32

    def forward(self, control: Control = "error", *, every_step: bool = False) -> Source:
        """The kernel of a forward solve that is not recorded."""
        mapping = self._forward_mapping(control, H200, record=False)
        text = forward_text(self.program, self.segments, self.dtype, mapping, control, every_step)
        return self._source(text, mapping, control)

    def to_event(self, control: Control = "error") -> Source:
        """The kernel of a forward solve that goes on until the first number of the state is as large as t."""
        numbers = self.batch * self.program.widths[Y]
        widths = 1, numbers, 0, 1, 1, numbers
        ops = Gather(3, (Y,), (0,)), Binary(4, 3, T, "sub"), Gather(5, (4,), (0,) * numbers)
        event = Program(widths, ops, output=5, parameter_shapes=(), shared=0)
        mapping = self._forward_mapping(control, shared_by(H200, to_event=True), record=True)
        ends = event_mapping(event, self.dtype, H200)
        text = event_text(self.program, self.segments, self.dtype, mapping, control, event, ends)
        return self._source(text, mapping, control)

    def discrete(self, *, with_time: bool = False) -> Source:
        """The kernel of the exact reverse, with gradients in all parameters."""
        mapping = reverse_mapping(self.program, self.batch, self.dtype, H200)
        wanted = range(len(self.program.parameter_shapes))
        text = discrete_text(self.program, self.segments, self.dtype, mapping, wanted, with_time)
        return self._source(text, mapping)

    def continuous(self, control: Control = "error") -> Source:
        """The kernel of the adjoint equations, with gradients in all parameters and in c."""
        mapping = reverse_mapping(self.program, self.batch, self.dtype, H200)
        mapping = replace(mapping, accumulators_in_shared=False)
        wanted = range(len(self.program.parameter_shapes))
        width = self.program.widths[C]
        measured = [(0, width)] if width else []
        text = continuous_text(self.program, self.segments, self.dtype, mapping, control, wanted, measured)
        return self._source(text, mapping)

    def _forward_mapping(self, control: Control, properties: Properties, *, record: bool) -> Mapping:
        return forward_mapping(self.program, self.batch, self.dtype, _STAGES[control], properties, record)

    def _source(self, text: KernelText, mapping: Mapping, control: Control = "error") -> Source:
        stages = _STAGES[control] * self.program.widths[Y] * mapping.lanes if mapping.stages_in_shared else 0
        return Source(text.source, text.shared_bytes + stages * self.dtype.itemsize)


def _workload(name: str) -> Batched:
    module, y0, _ = WORKLOADS[name].make()
    return _captured(module, y0)


def _captured(module: nn.Module, y0: State) -> Batched:
    start = Start(torch.tensor(0.0), y0)
    captured = capture(module, y0, lambda: start)
    assert isinstance(captured, Capture), captured
    layout = Layout(Structure.of(y0), captured.batched)
    return Batched(captured.program, layout.segments, layout.batch)
