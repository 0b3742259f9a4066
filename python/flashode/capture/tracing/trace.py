"""From a function to the ATen operations that it performs.

The function is called once on stand-ins for ``t`` and ``y``. Every operation below autograd is recorded, on
the stand-ins and on the tensors that the function owns alike. A stand-in has no memory that Python could
read: a branch on its value, ``.item()``, ``.numpy()`` and the like are seen and refused, where tracing with
ordinary tensors would bake the number in. ``make_fx`` records the same operations, but costs 0.8 s on its
first use in a process, several times as much on each later one, and lets some of those reads pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor

from flashode.capture.guards.execution import Execution, Unseen
from flashode.capture.guards.watched import Watched
from flashode.capture.places import raised_at
from flashode.capture.refusal import Failed, Refusal, Singular, described
from flashode.capture.tracing.carrying import Carrying
from flashode.capture.tracing.filling import filling_allowed
from flashode.capture.tracing.interception import Interception, parameters_of
from flashode.capture.tracing.recorder import Recorder
from flashode.capture.tracing.traced import Trace, leaves
from flashode.declined import Reason
from flashode.state import State, Structure, components


class Gradients(Enum):
    """Which gradients are recorded: those in t and y, one of them, those in the function's tensors, none."""

    ALL = auto()
    STATE = auto()
    TIME = auto()
    OWN = auto()
    NONE = auto()


def trace(
    func: Callable[[Any, Any], Any],
    t: Tensor,
    y: State,
    watched: Watched,
    execution: Execution,
    carried: Mapping[int, Tensor] | None = None,
    gradients: Gradients = Gradients.ALL,
) -> Trace:
    """Calls ``func(t, y)`` once and records what it does; Failed or Singular if it raises.

    Args:
        func: the user's function.
        t: time, 0-d.
        y: the state.
        watched: what the function depends on, the tensors that it owns among it.
        execution: takes down what the call executes.
        carried: what to give the function in the place of some of them, by slot.
        gradients: which are recorded.
    """
    carried, slots = carried or {}, watched.slots
    recorder = Recorder(watched, {key: slot for key, slot in slots.items() if slot not in carried})
    structure = Structure.of(y)
    of_time = gradients in (Gradients.ALL, Gradients.TIME)
    of_state = gradients in (Gradients.ALL, Gradients.STATE)
    time = recorder.input("t", t.detach().clone(), requires_grad=of_time)
    parts = [recorder.input("y", part.detach().clone(), requires_grad=of_state) for part in components(y)]
    places = {
        key: recorder.input("slot", carried[slot].detach(), slot, carried[slot].requires_grad)
        for key, slot in slots.items()
        if slot in carried
    }
    carrying, interception = Carrying(places), Interception(recorder)
    records = gradients is not Gradients.NONE
    filling = filling_allowed(interception.filling)
    try:
        with torch.set_grad_enabled(records), ExitStack() as stack:
            for mode in (recorder, carrying, interception, parameters_of(recorder), filling):
                stack.enter_context(mode)
            arguments = recorder.computed(time), structure.join(list(map(recorder.computed, parts)))
            result = carrying.placed(execution.run(lambda: func(*arguments)))
            if interception.raised:
                what = f"it catches an exception of torch's ({interception.raised})"
                recorder.refuse(what, "find out before the call whether it can be made")
            if any(map(vars, leaves(arguments))):
                recorder.refuse("it sets an attribute of t or y", "keep it in a variable")
            if torch.is_grad_enabled() is not records:
                recorder.refuse("it leaves gradients switched off", "use torch.no_grad() as a context")
    except Unseen:
        raise
    except Exception as error:
        if not recorder.ended and isinstance(error, Refusal):
            recorder.reasons += error.within(raised_at(error))
            recorder.ended = True
        if not recorder.ended:
            failure = Singular if Singular.caused(error) else Failed
            reason = Reason(f"calling it raised {described(error)}", where=raised_at(error))
            raise failure(*recorder.reasons, reason) from error
    finally:
        recorder.restore()
    # Also where the function swallowed what ended it.
    return recorder.trace() if recorder.ended else recorder.finish(result, structure, parts[0].dtype)
