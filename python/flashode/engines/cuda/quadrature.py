"""Which numbers are integrated beside the tiles, and which of them are added up together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from flashode.engines.compiled.requests import ContinuousRequest
from flashode.engines.cuda.remembered import remembered
from flashode.engines.generated.joined import joined


@dataclass(frozen=True)
class Quadrature:
    """dL/dt and, behind it, the gradients in parameters, as a kernel is told of them.

    Attributes:
        segments: ``(ranges, 2)``: which numbers count in the error norm, each range by itself.
        starts: Of each number, where its sources begin; None where each is its own.
        sources: Which of the accumulators' numbers are added to each.
    """

    segments: Tensor
    starts: Tensor | None
    sources: Tensor | None


def quadrature_of(request: ContinuousRequest) -> Quadrature:
    """That of a request, on its device; it is the same for all like it."""
    device, transposes = request.grad_states.device, tuple(request.transposes)
    key = device, request.field.wanted, request.seminorm, transposes
    memo = request.field.shape.program_memo
    return remembered(memo, "quadrature", key, lambda: _listed(request, device))


def _listed(request: ContinuousRequest, device: torch.device) -> Quadrature:
    field = request.field
    shapes = zip(field.program.parameter_shapes, field.wanted, strict=True)
    ends = list(accumulate([math.prod(shape) if wanted else 0 for shape, wanted in shapes], initial=1))
    ranges = {p: (ends[p], ends[p + 1]) for p, wanted in enumerate(field.wanted) if wanted}
    # Gradients in transposes are added to those of what they transpose, and count with these.
    joins = [join for join in request.transposes if join[0] in ranges and join[1] in ranges]
    transposes = {p for p, *_ in joins}
    parameters = [span for p, span in ranges.items() if p not in transposes]
    measured = [(0, 1), *([] if request.seminorm else parameters)]
    segments = torch.tensor(measured, dtype=torch.int64, device=device)
    if not joins:
        return Quadrature(segments, None, None)
    spans = [(ranges[p][0], ranges[of][0], rows, columns) for p, of, rows, columns in joins]
    starts, sources = joined(ends[-1], spans)
    return Quadrature(segments, starts.to(device), sources.to(device))
