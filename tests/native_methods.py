"""The methods that the compiled engine has."""

from __future__ import annotations

from flashode.methods import TABLEAUX

NATIVE_METHODS = list(TABLEAUX)
