"""What is said of functions that are not captured: what to write instead, where, and all of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from explain.declining import BATCH, DECLINING, RATE, WIDTH, Net
from flashode import explain, use_engine
from flashode.declined import MAX_REASONS, Reason, source

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
    explanation = explain(func, y0)
    assert explanation.engine == "eager"
    assert explanation.error is None
    return explanation.reasons["native"]


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
    explanation = explain(DECLINING[name].make(), Y0)
    for reason in explanation.reasons["native"]:
        assert not PROBES.search(reason.sentence)
    assert not PROBES.search(re.sub(r"^ *at .*$", "", str(explanation), flags=re.MULTILINE))


@pytest.mark.parametrize("name", DECLINING)
def test_nothing_of_it_is_left(name: str) -> None:
    """Whatever a reason is looked for in, what the function reads stays as it was."""
    func = DECLINING[name].make()
    argv = [RATE, *(func.state_dict(keep_vars=True).values() if isinstance(func, nn.Module) else ())]
    argv = [tensor for tensor in argv if not isinstance(tensor, nn.UninitializedParameter)]
    before = [(tensor.detach().clone(), tensor._version, tensor.requires_grad) for tensor in argv]
    state = torch.get_rng_state()
    explain(func, Y0)
    assert torch.equal(torch.get_rng_state(), state)
    for tensor, (content, version, tracked) in zip(argv, before, strict=True):
        assert torch.equal(tensor.detach(), content)
        assert (tensor._version, tensor.requires_grad, tensor.grad_fn) == (version, tracked, None)


class Several(nn.Module):
    """Draws, writes, cannot be lowered and branches, in this order."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.norm = nn.Dropout(), nn.BatchNorm1d(WIDTH)
        self.history: list[Tensor] = []

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        z = self.norm(self.drop(y))
        z = z + torch.randn_like(z)
        z = z.digamma() + torch.special.i0(y)
        self.history.append(z)
        return z


def test_all_reasons_of_a_call_are_given() -> None:
    all_reasons = reasons(Several())
    words = ["drop Dropout", "norm BatchNorm1d", "random numbers", "history", "aten.digamma", "aten.i0"]
    assert len(all_reasons) == len(words)
    for word, reason in zip(words, all_reasons, strict=True):
        assert word in reason.sentence


def test_what_comes_before_the_end_of_a_trace_is_given_too() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        z = torch.special.i0(y + torch.rand(WIDTH))
        return z if float(z.sum()) > 0 else -z

    words = ["random numbers", "Python number", "aten.i0"]
    assert all(word in reason.what for word, reason in zip(words, reasons(field), strict=True))


def test_all_that_cannot_be_watched_is_given() -> None:
    """Of the code that would have run next, too; into a function that was not called it does not look."""
    deep, things = [[[[[[1.0]]]]]], {object()}

    def field(t: Tensor, y: Tensor) -> Tensor:
        print(t)
        return y * deep[0][0][0][0][0][0] * len(things) * int(torch.is_grad_enabled())

    all_reasons = reasons(field)
    words = ["print", "is_grad_enabled", "'deep'", "'things'"]
    assert all(any(word in reason.sentence for reason in all_reasons) for word in words)
    assert all(reason.remedy and reason.where for reason in all_reasons)


def test_all_layers_that_cannot_be_watched_are_given() -> None:
    norms = nn.utils.spectral_norm, nn.utils.weight_norm
    all_reasons = reasons(Net(*(norm(nn.Linear(WIDTH, WIDTH)) for norm in norms)))
    assert all(any(word in reason.sentence for reason in all_reasons) for word in ("0 Linear", "1 Linear"))


def test_no_more_than_ten_reasons_are_given() -> None:
    assert len(reasons(Net(*(nn.Dropout() for _ in range(15))))) == MAX_REASONS


def test_one_reason_that_is_met_again_is_one() -> None:
    net = Net(nn.Tanh())

    def field(t: Tensor, y: Tensor) -> Tensor:
        for _ in range(4):
            y = y.digamma()
        return net(t, y)

    assert len(reasons(field)) == 1


def test_what_matters_only_to_one_trajectory_is_said_to() -> None:
    first, second = reasons(lambda t, y: y - y.mean(0), torch.randn(2000, 200))
    assert "compute each row of y's first axis" in first.remedy
    assert second.what.startswith("taken as one trajectory, ")
    # By itself it would be captured, as one trajectory.
    assert [reason.what for reason in reasons(lambda t, y: y.digamma() - y.mean(0))] == [
        "aten.digamma is not supported"
    ]


def test_an_engine_s_own_reasons_come_with_the_function_s() -> None:
    class Called(Several):
        def callback_step(self, t: Tensor, y: Tensor, dt: Tensor) -> None:
            pass

    explanation = explain(Called(), Y0, options={"dtype": torch.float32}).reasons["native"]
    assert [reason.what for reason in explanation[:2]] == [
        "the function has callbacks",
        "the option dtype is torch.float32, not torch.float64",
    ]
    assert any("digamma" in reason.what for reason in explanation)


def test_the_text_has_each_reason_with_its_line() -> None:
    text = " ".join(str(explain(Several(), Y0)).split())
    assert (
        "native declines because it draws random numbers (aten.bernoulli) in drop Dropout: call eval()"
        in text
    )
    assert text.count("and because") == 5
    assert text.count("z = z.digamma() + torch.special.i0(y)") == 2


def test_the_warning_has_the_first_reason_and_counts_the_others() -> None:
    t = torch.linspace(0, 1, 2)
    with pytest.warns(flashode.FallbackWarning) as caught:
        flashode.odeint(Several(), Y0, t, method="euler")
    (message,) = (str(warning.message) for warning in caught)
    assert "in drop Dropout: call eval(), or set p=0" in message
    assert "(and 5 more: flashode.explain says all)" in message
    assert "digamma" not in message
    with pytest.raises(ValueError, match=re.escape("aten.i0")), use_engine("native"):
        flashode.odeint(Several(), Y0, t, method="euler")
