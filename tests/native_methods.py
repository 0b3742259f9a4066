"""The methods that the compiled engine has."""

from __future__ import annotations

from flashode.methods import TABLEAUX

NATIVE_METHODS = [name for name, tableau in TABLEAUX.items() if not tableau.implicit]
