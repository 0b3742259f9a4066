"""What the schema of an operation, and its arguments, say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

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
    given = (*args, *kwargs.values())
    generators = [item for item in given if isinstance(item, torch.Generator)]
    generators = generators or [_default_generator(given)]
    states = [generator.get_state() for generator in generators]
    try:
        return func(*args, **kwargs)
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def without_statistics(args: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments of a batch norm in training, less the running statistics, which it would write into."""
    return (*args[:3], None, None, *args[5:])


def _default_generator(given: Sequence[Any]) -> torch.Generator:
    devices = [item.device for item in given if isinstance(item, Tensor)]
    devices += [item for item in given if isinstance(item, torch.device)]
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
    for argument, given in zip(func._schema.arguments, args, strict=False):
        if argument.alias_info is not None and isinstance(given, Tensor):
            return given
    return None
