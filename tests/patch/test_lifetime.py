"""How long the patch lasts: plain calls, blocks, nesting, threads."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from threading import Barrier, Thread
from types import ModuleType

import pytest

import flashode


@pytest.fixture(params=["installed", "absent"])
def where(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both kinds of installation."""
    if request.param == "installed":
        pytest.importorskip("torchdiffeq", reason="torchdiffeq is not installed")
    else:
        request.getfixturevalue("absent")
    yield request.param
    flashode.unpatch_torchdiffeq()  # before torchdiffeq comes back


def is_patched() -> bool:
    """Whether the name torchdiffeq means flashode now."""
    try:
        module: ModuleType = importlib.import_module("torchdiffeq")
    except ModuleNotFoundError:
        return False
    return bool(module.odeint is flashode.odeint)


pytestmark = pytest.mark.usefixtures("where")


def test_a_plain_call_lasts_until_it_is_undone() -> None:
    flashode.patch_torchdiffeq()
    assert is_patched()
    flashode.unpatch_torchdiffeq()
    assert not is_patched()


def test_a_block_ends_it_also_by_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), flashode.patch_torchdiffeq():
        _ = 1 / (not is_patched())
    assert not is_patched()


def test_undoing_without_a_patch_does_nothing() -> None:
    flashode.unpatch_torchdiffeq()
    assert not is_patched()


def test_repeated_calls_are_undone_at_once() -> None:
    flashode.patch_torchdiffeq()
    flashode.patch_torchdiffeq()
    flashode.unpatch_torchdiffeq()
    assert not is_patched()


def test_blocks_nest() -> None:
    with flashode.patch_torchdiffeq():
        with flashode.patch_torchdiffeq():
            assert is_patched()
        assert is_patched()
    assert not is_patched()


def test_a_block_does_not_end_a_plain_call() -> None:
    flashode.patch_torchdiffeq()
    with flashode.patch_torchdiffeq():
        pass
    assert is_patched()


def test_undoing_inside_a_block() -> None:
    with flashode.patch_torchdiffeq():
        flashode.unpatch_torchdiffeq()
        assert not is_patched()
    assert not is_patched()


def test_a_patch_can_be_entered_again() -> None:
    patch = flashode.patch_torchdiffeq()
    with patch:
        pass
    assert not is_patched()
    with patch:
        assert is_patched()
    assert not is_patched()


def test_the_last_of_several_threads_ends_it() -> None:
    entered, left = Barrier(2), Barrier(2)
    seen = []

    def shorter() -> None:
        with flashode.patch_torchdiffeq():
            entered.wait()
        seen.append(is_patched())
        left.wait()

    thread = Thread(target=shorter)
    thread.start()
    with flashode.patch_torchdiffeq():
        entered.wait()
        left.wait()
        seen.append(is_patched())
    thread.join()
    assert seen == [True, True]
    assert not is_patched()
