"""Elementary functions of numbers of either precision, that networks are made of."""

from __future__ import annotations

from flashode.engines.numba.fields import double, single
from flashode.engines.numba.machine_code import by_precision

exp = by_precision(single.exp, double.exp)
expm1 = by_precision(single.expm1, double.expm1)
tanh = by_precision(single.tanh, double.tanh)
sigmoid = by_precision(single.sigmoid, double.sigmoid)
softplus = by_precision(single.softplus, double.softplus)
