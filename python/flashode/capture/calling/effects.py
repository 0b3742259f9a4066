"""Calling a user's function without leaving a trace of the call.

Capturing calls the function a few times more than the solve does. Whatever such a call changes is put back,
and makes the function unfit for capture, except a counter: an integer that grows by the same amount in each
call and is used for nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from flashode.capture.calling.contents import MISSING, Change, TensorContent, content, put, restored
from flashode.capture.guards.compiled import originals_run
from flashode.capture.guards.counting import merely_counted
from flashode.capture.guards.guard_code import Owner
from flashode.capture.guards.watched import Watched
from flashode.capture.refusal import Refusal
from flashode.declined import Reason

T = TypeVar("T")

_COMPUTE = "compute it afresh from t and y, and collect what you want to see after the solve"
_COUNT = "count in whole steps (self.nfe += 1) and read the count outside of func alone"
_LEAVE = "leave it as it is, or change it before the solve"


# Settings of torch that outlast a call which changes them: how to read them, and how to set them.
_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "whether torch computes gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
}


# Beyond, a step may be lost to rounding.
_LARGEST_COUNT = 2.0**52


class Effects:
    """Runs calls of one function and undoes what they change.

    Attributes:
        counters: places, as the checks name them, and amounts for each call; None before the first call.
        steps: by how much the function counts up in its tensors, by slot, which is no change that matters.
        changed: where something changed, as the checks name it.
        kept: where a call put a tensor in the place of nothing, with what the walk calls it.
    """

    def __init__(self, watched: Watched) -> None:
        self.counters: dict[Owner, int] | None = None
        self.steps: tuple[tuple[int, float], ...] = ()
        self.changed: set[Owner] = set()
        self.kept: dict[Owner, str] = {}
        self._watched = watched
        self._containers = {
            (id(container.held), container.places): container for container in watched.containers
        }.values()

    def undone(self, call: Callable[[], T]) -> T:
        """The result of ``call``, whose effects are undone; refused if one is more than a counter's."""
        result, reasons = self.called(call)
        if reasons:
            raise Refusal(*reasons)
        return result

    def untraced(self, call: Callable[[], object]) -> None:
        """As ``undone`` for a call that is not traced; undoes what a trace would have kept from happening."""
        numbers = torch.get_rng_state()
        before = [(tensor, tensor._version, tensor.detach().clone()) for tensor in self._watched.tensors]
        try:
            self.undone(call)
        finally:
            torch.set_rng_state(numbers)
            for tensor, version, copy in before:
                if tensor._version != version:
                    tensor.data.copy_(copy)

    def called(self, call: Callable[[], T], keep: bool = False) -> tuple[T, tuple[Reason, ...]]:
        """The result of ``call``, whose effects are undone, and what it changed that is not a counter.

        ``keep``: but for tensors that it puts in the place of nothing, if it comes to its end.
        """
        before = [content(container) for container in self._containers]
        counted = {slot for slot, _ in self.steps}
        tensors = [TensorContent(each, slot in counted) for slot, each in enumerate(self._watched.tensors)]
        settings = {name: read() for name, (read, _) in _SETTINGS.items()}
        try:
            with warnings.catch_warnings(), originals_run(self._watched.compiles):
                # Ignored ones leave no mark, so that the user still gets to see each when it is due.
                warnings.simplefilter("ignore")
                result = call()
        finally:
            changes = [
                change
                for container, held in zip(self._containers, before, strict=True)
                for change in restored(container, held)
            ]
            self._note(changes)
            changed = [what for tensor in tensors for what in tensor.restored()]
            for name, (read, write) in _SETTINGS.items():
                if read() != settings[name]:
                    write(settings[name])
                    changed.append(f"it changes {name}")
        for change in filter(_keeps, changes) if keep else ():
            put(change.container.held, change.key, change.new)
        # Not among what is done finally: an interrupt or a refusal on its way must not be replaced.
        left = (Reason(what, _LEAVE) for what in changed)
        reasons = dict.fromkeys([*self._settled(changes), *left])
        return result, tuple(reasons)

    def _note(self, changes: list[Change]) -> None:
        for change in changes:
            container, key, old, new = change
            if _keeps(change) and self._watched.loads(key):
                self.kept[container.variable, key] = f"{container.label}.{key}"
                continue
            if old is None:
                continue  # it is so again: as long as it is, the next call does the same
            stays = old is not MISSING and new is not MISSING
            # Of the user's classes the checks do not name the places one by one.
            by_place = container.places is not None or not isinstance(container.held, type)
            if by_place and (stays or container.of_object):
                self.changed.add((container.variable, key))
            elif container.owner is not None:
                self.changed.add(container.owner)

    def _settled(self, changes: list[Change]) -> list[Reason]:
        """Takes changes for steps of counters; returns what speaks against it."""
        counters: dict[Owner, int] = {}
        reasons: list[Reason] = []
        for change in changes:
            container, key, old, new = change
            named = isinstance(key, str) and (container.of_object or isinstance(container.held, type))
            label = f"{container.label}.{key}" if named else container.label
            where = self._watched.line(label)
            held_by_class = isinstance(container.held, type)
            if held_by_class or not _steps(old, new):
                reasons.append(Reason(f"it changes {label}", _COMPUTE, where))
                continue
            counters[container.variable, key] = int(new - old)
            if not merely_counted(self._watched, container, key):
                reasons.append(Reason(f"the counter {label} is used for more than counting", _COUNT, where))
        if not reasons and self.counters not in (None, counters):
            reasons.append(Reason("its counters grow unevenly from call to call", _COUNT))
        if not reasons:
            self.counters = counters
        return reasons


def _keeps(change: Change) -> bool:
    """Whether an attribute, or an item of a dictionary, was nothing before and is a tensor now."""
    nothing = change.old is None or change.old is MISSING
    return nothing and type(change.container.held) is dict and isinstance(change.new, Tensor)


def _steps(old: Any, new: Any) -> bool:
    """Whether a number has grown by a whole one."""
    if type(old) is not type(new) or type(old) not in (int, float):
        return False
    return type(old) is int or (float(new - old).is_integer() and abs(new) < _LARGEST_COUNT)
