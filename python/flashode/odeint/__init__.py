"""The torchdiffeq-compatible face."""

from flashode.odeint.dense import DenseOutput, odeint_dense
from flashode.odeint.event import odeint_event
from flashode.odeint.solve import odeint, odeint_adjoint

__all__ = ["DenseOutput", "odeint", "odeint_adjoint", "odeint_dense", "odeint_event"]
