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
