"""How each ATen operation becomes Program operations, by name."""

from flashode.capture.rules.context import Rule
from flashode.capture.rules.elementwise import ELEMENTWISE
from flashode.capture.rules.linear import FILLED, LINEAR
from flashode.capture.rules.structure import STRUCTURE

RULES: dict[str, Rule] = {**ELEMENTWISE, **STRUCTURE, **LINEAR, **FILLED}

__all__ = ["FILLED", "RULES", "STRUCTURE"]
