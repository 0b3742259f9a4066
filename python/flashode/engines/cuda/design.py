"""The kernel of a request: its text, and how it spreads the work."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from torch import Tensor

from flashode.engines.compiled.requests import (
    ContinuousRequest,
    DiscreteRequest,
    EvaluatedField,
    ForwardRequest,
    Request,
)
from flashode.engines.cuda.choice import event_mapping, forward_mapping, reverse_mapping, shared_by
from flashode.engines.cuda.forward import Log
from flashode.engines.cuda.machine import Properties
from flashode.engines.cuda.mapping import Mapping
from flashode.engines.cuda.source import (
    KernelText,
    continuous_text,
    discrete_text,
    event_text,
    forward_text,
)
from flashode.methods import Tableau
from flashode.program import Y


@dataclass(frozen=True)
class Design:
    """A kernel that is not compiled yet.

    Attributes:
        text: What is to be compiled.
        mapping: How it spreads a batch.
        shared_bytes: Shared memory of a block.
    """

    text: KernelText
    mapping: Mapping
    shared_bytes: int


def state_of(request: Request) -> Tensor:
    """A tensor on the device and of the dtype of the state."""
    return request.y0 if isinstance(request, ForwardRequest) else request.grad_states


def key_of(request: Request) -> Hashable:
    """What a design depends on beside the Program."""
    like, control, shape = state_of(request), request.integrator.method.control, request.field.shape
    kind = like.device, like.dtype, shape.batch, tuple(shape.segments), request.field.wanted
    match request:
        case ForwardRequest():
            return "forward", *kind, control, _tableau(request).stages, _aim(request), request.record
        case DiscreteRequest():
            return "discrete", *kind, request.grad_times is not None, _lanes(request)
        case ContinuousRequest():
            return "continuous", *kind, control, tuple(_measured(request))


def design(request: Request, properties: Properties) -> Design:
    """The kernel that does what is requested on a device with these properties."""
    match request:
        case ForwardRequest():
            return _forward(request, properties)
        case DiscreteRequest():
            return _discrete(request, properties)
        case ContinuousRequest():
            return _continuous(request, properties)


def _forward(request: ForwardRequest, properties: Properties) -> Design:
    program, shape, dtype = request.field.program, request.field.shape, request.y0.dtype
    tableau = _tableau(request)
    event = request.event.program if isinstance(request.event, EvaluatedField) else None
    shared = shared_by(properties, to_event=event is not None)
    mapping = forward_mapping(program, shape.batch, dtype, tableau.stages, shared, request.record)
    arguments = program, shape.segments, dtype, mapping, tableau.control
    if event is None:
        text = forward_text(*arguments, request.every_step)
    else:
        text = event_text(*arguments, event, event_mapping(event, dtype, properties))
    stages = tableau.stages * program.widths[Y] * mapping.lanes if mapping.stages_in_shared else 0
    return Design(text, mapping, text.shared_bytes + stages * dtype.itemsize)


def _discrete(request: DiscreteRequest, properties: Properties) -> Design:
    program, shape, dtype = request.field.program, request.field.shape, request.grad_states.dtype
    mapping = reverse_mapping(program, shape.batch, dtype, properties, _lanes(request))
    with_time = request.grad_times is not None
    text = discrete_text(program, shape.segments, dtype, mapping, _wanted(request.field), with_time)
    return Design(text, mapping, text.shared_bytes)


def _continuous(request: ContinuousRequest, properties: Properties) -> Design:
    program, shape, dtype = request.field.program, request.field.shape, request.grad_states.dtype
    mapping = replace(reverse_mapping(program, shape.batch, dtype, properties), accumulators_in_shared=False)
    control, wanted = request.integrator.method.control, _wanted(request.field)
    text = continuous_text(program, shape.segments, dtype, mapping, control, wanted, _measured(request))
    return Design(text, mapping, text.shared_bytes)


def _lanes(request: DiscreteRequest) -> int:
    """Those of the tiles that checkpoints are made of."""
    assert isinstance(request.log, Log)
    return request.log.lanes


def _tableau(request: Request) -> Tableau:
    tableau = request.integrator.method
    assert isinstance(tableau, Tableau)
    return tableau


def _aim(request: ForwardRequest) -> Hashable:
    """What a solve goes on for: an event, every step, or the output times."""
    event = request.event.program if isinstance(request.event, EvaluatedField) else None
    return event or request.every_step


def _wanted(field: EvaluatedField) -> list[int]:
    return [p for p, want in enumerate(field.wanted) if want]


def _measured(request: ContinuousRequest) -> list[tuple[int, int]]:
    return [] if request.seminorm else request.measured_c
