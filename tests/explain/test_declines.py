"""What is said of functions that are not captured: what to write instead, where, and all of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from explain.declining import BATCH, DECLINING, RATE, WIDTH
from flashode import explain
from flashode.declined import Reason, source

Y0 = torch.linspace(-1, 1, BATCH * WIDTH).view(BATCH, WIDTH)
# Names of our own making, and numbers of calls that the user did not make.
PROBES = re.compile(
    r"StandIn|must match|weakref|_flat_weight_refs|CatchErrorsWrapper|flashode/capture|guard"
    rf"|\b[vk]\d+\b|\bBatch\(|\b{BATCH + 1}\b|tracing it|_local_scalar_dense"
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is deprecated:DeprecationWarning", "ignore:.*:FutureWarning"
)


def reasons(func: Callable[..., Any], y0: Any = Y0) -> tuple[Reason, ...]:
    found = explain(func, y0)
    assert found.engine == "eager"
    assert found.error is None
    return found.reasons["native"]


@pytest.mark.parametrize("name", DECLINING)
def test_each_says_what_to_write_instead_and_where(name: str) -> None:
    said = DECLINING[name]
    first = reasons(said.make())[0]
    assert said.what in first.what
    assert first.remedy
    assert said.remedy in first.remedy
    assert first.module == said.module
    assert first.where is not None
    assert said.line in source(first.where)


@pytest.mark.parametrize("name", DECLINING)
def test_none_tells_of_how_it_was_found_out(name: str) -> None:
    found = explain(DECLINING[name].make(), Y0)
    for reason in found.reasons["native"]:
        assert not PROBES.search(reason.sentence)
    assert not PROBES.search(re.sub(r"^ *at .*$", "", str(found), flags=re.MULTILINE))


@pytest.mark.parametrize("name", DECLINING)
def test_nothing_of_it_is_left(name: str) -> None:
    """Whatever a reason is looked for in, what the function reads stays as it was."""
    func = DECLINING[name].make()
    kept = [RATE, *(func.state_dict(keep_vars=True).values() if isinstance(func, nn.Module) else ())]
    kept = [tensor for tensor in kept if not isinstance(tensor, nn.UninitializedParameter)]
    before = [(tensor.detach().clone(), tensor._version, tensor.requires_grad) for tensor in kept]
    state = torch.get_rng_state()
    explain(func, Y0)
    assert torch.equal(torch.get_rng_state(), state)
    for tensor, (content, version, tracked) in zip(kept, before, strict=True):
        assert torch.equal(tensor.detach(), content)
        assert (tensor._version, tensor.requires_grad, tensor.grad_fn) == (version, tracked, None)
