"""Arguments that are True or False."""

from __future__ import annotations

from typing import Any

import torch

from flashode.wording import shown


def as_bool(argument: str, value: Any) -> bool:
    """What was meant by True, False, 0, 1 or a tensor that holds one boolean.

    Args:
        argument: Its name in messages.
        value: What the user gave.

    Raises:
        TypeError: If it is anything else.
    """
    original = value
    if isinstance(value, torch.Tensor) and value.dtype == torch.bool and value.numel() == 1:
        value = value.item()
    if not isinstance(value, int) or value not in (0, 1):
        raise TypeError(f"{argument} must be True or False, got {shown(original)}")
    return bool(value)
