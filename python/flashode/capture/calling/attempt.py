"""A call of the user's function for what it raises, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from flashode.capture.calling.effects import Effects
from flashode.capture.refusal import Refusal
from flashode.capture.tracing.interception import READS
from flashode.capture.tracing.schemas import updates_running_statistics
from flashode.capture.watching.guards import watch


def attempted(func: Callable[..., Any], call: Callable[[], object]) -> Exception | None:
    """What ``call``, which calls ``func``, raises.

    Nothing that it does can be noticed afterwards. It ends where it would write into a tensor of the
    function, reach for a tensor's memory or draw random numbers, and does not begin where not all that the
    function may change is known.

    Returns:
        the exception, or None if there was none or the call could not be made to its end.
    """

    def watched_over() -> object:
        with _Untouched(watched.tensors), _Unread():
            return call()

    try:
        watched = watch(func)
        effects = Effects(watched)
    except Exception:
        # What it may change is not known.
        return None
    try:
        effects.undone(watched_over)
    except Refusal:
        return None
    except Exception:
        # It may mind being watched over. What it does before it raises is harmless, as has been seen.
        return _raised_unwatched(Effects(watched), call, watched.tensors)
    return None


def _raised_unwatched(
    effects: Effects, call: Callable[[], object], tensors: Sequence[Tensor]
) -> Exception | None:
    numbers = torch.get_rng_state()
    contents = [(tensor, tensor._version, tensor.detach().clone()) for tensor in tensors]
    try:
        effects.undone(call)
    except Refusal:
        return None
    except Exception as error:
        return error
    finally:
        torch.set_rng_state(numbers)
        for tensor, version, content in contents:
            if tensor._version != version:
                tensor.data.copy_(content)
    return None


class _Unread(TorchFunctionMode):
    """Refuses what hands out a tensor's memory, which could be written to unseen."""

    def __torch_function__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in READS:
            raise Refusal("it reads a tensor's memory from Python")
        return func(*args, **(kwargs or {}))


class _Untouched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses what cannot be undone."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._memory = {_memory(tensor) for tensor in tensors}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch imports its whole compiler, seconds of work, to keep it from compiling this mode.
        return False

    def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Refusal("it draws random numbers")
        if updates_running_statistics(func, args):
            raise Refusal("it updates running statistics")
        for position, argument in enumerate(func._schema.arguments):
            written = argument.alias_info is not None and argument.alias_info.is_write
            given = args[position] if position < len(args) else kwargs.get(argument.name)
            if written and not self._memory.isdisjoint(map(_memory, _tensors(given))):
                raise Refusal("it writes into a tensor of its own")
        return func(*args, **kwargs)


def _tensors(given: Any) -> list[Tensor]:
    items = given if isinstance(given, (list, tuple)) else [given]
    return [item for item in items if isinstance(item, Tensor)]


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
