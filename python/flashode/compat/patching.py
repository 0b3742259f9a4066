"""Patching torchdiffeq for as long as a caller asks for it."""

from __future__ import annotations

from threading import RLock
from typing import Self

from flashode.compat.installed import Exchange, is_installed
from flashode.compat.stand_ins import StandIns

_lock = RLock()
_active: set[Patch] = set()
_done: Exchange | StandIns | None = None


class Patch:
    """The context manager of :func:`patch_torchdiffeq`: the patch ends with the ``with`` block."""

    def __enter__(self) -> Self:
        _activate(self)
        return self

    def __exit__(self, *error: object) -> None:
        with _lock:
            _active.discard(self)
            if not _active:
                _undo()


def patch_torchdiffeq() -> Patch:
    """Have everything in this process that uses torchdiffeq use flashode, unchanged.

    After it ``torchdiffeq.odeint is flashode.odeint``, and likewise ``odeint_adjoint``, ``odeint_event`` and
    ``odeint_dense``, in torchdiffeq's own modules and in every module that imported these names before. What
    holds torchdiffeq's functions otherwise (a closure, a partial, a default argument, an attribute of a class
    or an object) keeps them, and they call flashode's. ``torchdiffeq._impl.odeint.SOLVERS`` has the name of
    every method; a solver that a program puts into it, under a new name or in the place of a method, is run
    by torchdiffeq's own functions, in ``odeint_adjoint`` also as ``adjoint_method``.

    Where torchdiffeq is not installed, modules of its names stand in for it: ``torchdiffeq``,
    ``torchdiffeq._impl``, ``torchdiffeq._impl.odeint`` and ``torchdiffeq._impl.adjoint``. They have the four
    functions, ``SOLVERS`` to read and ``find_parameters``; to import anything else raises an ImportError.

    Call it before or after the imports of the program::

        flashode.patch_torchdiffeq()  # until unpatch_torchdiffeq(), or the end of the program

        with flashode.patch_torchdiffeq():  # in this block, in all threads
            train()

    Patching twice changes nothing; of several ``with`` blocks, nested or in several threads, the last to end
    ends the patch, and none ends that of a plain call. A module that is first imported under the patch and
    copies the functions (``from torchdiffeq import odeint``) has flashode's for good. Processes that
    multiprocessing spawns, rather than forks, are new ones and have to patch for themselves.

    Returns:
        A context manager, which may be ignored.

    Raises:
        ImportError: If torchdiffeq is installed and cannot be imported.
    """
    patch = Patch()
    _activate(patch)
    return patch


def unpatch_torchdiffeq() -> None:
    """Undo :func:`patch_torchdiffeq`, also inside its ``with`` blocks; without a patch this does nothing."""
    with _lock:
        _active.clear()
        _undo()


def _activate(patch: Patch) -> None:
    global _done
    with _lock:
        if _done is None:
            _done = Exchange() if is_installed() else StandIns()
        _active.add(patch)


def _undo() -> None:
    global _done
    if _done is not None:
        _done.undo()
        _done = None
