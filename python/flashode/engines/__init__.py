"""Engines, and the choice of one for a solve."""

from flashode.engines.choice import (
    Choice,
    EngineDeclined,
    choose,
    consider,
    name_of,
    taken,
    use_engine,
    watchers,
)
from flashode.engines.registry import FALLBACK, REGISTRY
from flashode.engines.selection import AUTO

__all__ = [
    "AUTO",
    "FALLBACK",
    "REGISTRY",
    "Choice",
    "EngineDeclined",
    "choose",
    "consider",
    "name_of",
    "taken",
    "use_engine",
    "watchers",
]
