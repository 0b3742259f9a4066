"""What is remembered as long as a Program lives, of solves whose settings have it in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

# Of one kind: a Program may be solved for batches of ever other sizes.
_MOST = 64

_Value = TypeVar("_Value")


def known(memo: dict[Any, Any], kind: str, key: Hashable) -> Any:
    """What is remembered of a kind; None where nothing is."""
    return memo.get(kind, {}).get(key)


def remembered(memo: dict[Any, Any], kind: str, key: Hashable, make: Callable[[], _Value]) -> _Value:
    """What is remembered of a kind, from now on if it was not; it is not None."""
    value: _Value | None = known(memo, kind, key)
    if value is None:
        value = make()
        kept = memo.setdefault(kind, {})
        if len(kept) >= _MOST:
            kept.clear()
        kept[key] = value
    return value
