"""Engines, and the choice of one for a solve."""

from flashode.engines.choice import (
    Choice,
    EngineDeclined,
    choose,
    consider,
    name_of,
    watchers,
)
from flashode.engines.registry import FALLBACK, REGISTRY
from flashode.engines.selection import use_engine

__all__ = [
    "FALLBACK",
    "REGISTRY",
    "Choice",
    "EngineDeclined",
    "choose",
    "consider",
    "name_of",
    "use_engine",
    "watchers",
]
