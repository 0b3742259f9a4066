"""What the schema of an operation, its arguments and its results say of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch
from torch.autograd.function import BackwardCFunction

# Operations that draw random numbers only if they are in training, or drop out: the place of that argument.
_DRAWS_IF = {"aten::rrelu_with_noise": 4, "aten::_scaled_dot_product_flash_attention_for_cpu": 3}


def draws(func: Any, args: Sequence[Any]) -> bool:
    """Whether it draws random numbers, which some operations do only if an argument is set."""
    place = _DRAWS_IF.get(func._schema.name)
    if place is not None:
        return len(args) > place and bool(args[place])
    return torch.Tag.nondeterministic_seeded in func.tags


def updates_running_statistics(func: Any, args: Sequence[Any]) -> bool:
    """Whether it is a batch norm in training, which writes into arguments that its schema calls unwritten."""
    return func._schema.name == "aten::native_batch_norm" and args[3] is not None and bool(args[5])


def undrawn(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What an operation returns that draws random numbers, which the user's generators do not notice."""
    arguments = (*args, *kwargs.values())
    generators = [item for item in arguments if isinstance(item, torch.Generator)]
    generators = generators or [_default_generator(arguments)]
    states = [generator.get_state() for generator in generators]
    try:
        return func(*args, **kwargs)
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def without_statistics(args: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments of a batch norm in training, less the running statistics, which it would write into."""
    return (*args[:3], None, None, *args[5:])


def _default_generator(arguments: Sequence[Any]) -> torch.Generator:
    devices = [item.device for item in arguments if isinstance(item, Tensor)]
    devices += [item for item in arguments if isinstance(item, torch.device)]
    for device in devices:
        if device.type == "cuda":
            return torch.cuda.default_generators[device.index or 0]
    return torch.default_generator


def name_of(func: Any) -> str:
    """The name that a user knows it by."""
    return func._schema.name.replace("::", ".").removesuffix("_")  # type: ignore[no-any-return]


def shared_argument(func: Any, args: Sequence[Any]) -> Tensor | None:
    """The argument whose memory the result shares, for a view."""
    returns = func._schema.returns
    if not returns or returns[0].alias_info is None:
        return None
    for argument, value in zip(func._schema.arguments, args, strict=False):
        if argument.alias_info is not None and isinstance(value, Tensor):
            return value
    return None


def differentiable(item: Any) -> bool:
    """Whether autograd, or a transform of ``torch.func`` that is under way, tracks a tensor."""
    return isinstance(item, Tensor) and any(tensor.requires_grad for tensor in _layers(item))


def _layers(tensor: Tensor) -> Iterator[Tensor]:
    """A tensor and what the transforms wrapped in it."""
    yield tensor
    while _functorch.is_functorch_wrapped_tensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
        yield tensor


def custom_backwards(values: Iterable[Tensor]) -> Iterator[str]:
    """The names of each ``autograd.Function`` written in Python in the graph behind some tensors."""
    seen: set[Any] = set()
    waiting: list[Any] = [value.grad_fn for value in values if value.grad_fn is not None]
    for node in waiting:
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, BackwardCFunction):
            yield type(node).__name__
        waiting.extend(following for following, _ in node.next_functions if following is not None)
