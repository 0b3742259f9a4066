"""From gradients in what a Program reads to gradients in the tensors that this was computed from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flashode.engines.compiled.layout import context_ranges
from flashode.program import Reach


def gradient_memory(inputs: Sequence[Tensor], wanted: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """Zeros for each input whose gradient is wanted."""
    return tuple([torch.zeros_like(x) if want else None for x, want in zip(inputs, wanted, strict=True)])


def reached_from(inputs: Sequence[Tensor], sources: Sequence[Tensor]) -> tuple[bool, ...]:
    """Which of a Program's inputs are, or are computed from, one of ``sources``."""
    own = {id(source) for source in sources}
    return tuple(id(x) in own or _computed_from(x, sources) for x in inputs)


def connected_inputs(inputs: Sequence[Tensor], reach: Reach) -> tuple[Tensor, ...]:
    """A Program's inputs, detached where no gradient reaches them.

    Autograd then knows that there is none, as after the function itself: zeros would be a gradient, by which
    optimizers change a parameter.
    """
    return tuple(x if i in reach.parameters else x.detach() for i, x in enumerate(inputs))


def connected_context(carried: Sequence[Tensor], reach: Reach) -> tuple[Tensor, ...]:
    """The same for what belongs to trajectories."""
    pairs = zip(carried, context_ranges(carried), strict=True)
    return tuple(x if any(reach.rows[begin:end]) else x.detach() for x, (begin, end) in pairs)


def split_context(carried: Sequence[Tensor], gradient: Tensor | None) -> tuple[Tensor | None, ...]:
    """Of the gradient in a context those in its tensors; None where one needs no gradient."""
    if gradient is None:
        return ()
    pairs = zip(carried, context_ranges(carried), strict=True)
    return tuple(
        gradient[:, begin:end].reshape(x.shape) if x.requires_grad else None for x, (begin, end) in pairs
    )


def _learned(sources: Sequence[Tensor]) -> list[Tensor]:
    """Those that gradients can be asked for: some may have been frozen since the solve."""
    return [source for source in sources if source.requires_grad]


def _computed_from(tensor: Tensor, sources: Sequence[Tensor]) -> bool:
    sources = _learned(sources)
    if tensor.grad_fn is None or not sources:
        return False
    with torch.enable_grad():
        total = tensor.sum()
    found = torch.autograd.grad(total, sources, retain_graph=True, allow_unused=True)
    return any(gradient is not None for gradient in found)


def through_prologue(
    inputs: Sequence[Tensor], sources: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """Gradients in ``sources`` from those in a Program's inputs, zeros where one is not used."""
    totals = {id(source): torch.zeros_like(source) for source in sources}
    computed = []
    for tensor, gradient in zip(inputs, gradients, strict=True):
        if gradient is None:
            continue
        if id(tensor) in totals:
            totals[id(tensor)] += gradient
        else:
            computed.append((tensor, gradient))
    learned = _learned(sources)
    if computed and learned:
        outputs, cotangents = zip(*computed, strict=True)
        found = torch.autograd.grad(outputs, learned, cotangents, retain_graph=True, allow_unused=True)
        for source, gradient in zip(learned, found, strict=True):
            if gradient is not None:
                totals[id(source)] += gradient
    return tuple(totals[id(source)] for source in sources)
