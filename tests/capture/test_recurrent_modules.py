"""nn.GRU, nn.LSTM and nn.RNN in a field: captured, and watched for other weights."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import T as TIME
from capture.agreement import Y, captured_at, declined, evaluated, random, true
from capture.exactly import lowers
from flashode.capture import Capture

KINDS: list[Any] = [nn.GRU, nn.LSTM, nn.RNN]


class Stepped(nn.Module):
    """One or two steps from the state, or on it."""

    def __init__(self, recurrent: nn.RNNBase, steps: int = 1, hidden: bool = False) -> None:
        super().__init__()
        self.recurrent, self.steps, self.hidden = recurrent, steps, hidden

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x = torch.stack([y * k + t for k in range(self.steps)], 1 if self.recurrent.batch_first else 0)
        if not self.hidden:
            out, _ = self.recurrent(x)
        else:
            state = y.sin()[None].expand(self.recurrent.num_layers, -1, -1).contiguous()
            given = (state, state.cos()) if isinstance(self.recurrent, nn.LSTM) else state
            out, last = self.recurrent(x, given)
            if isinstance(self.recurrent, nn.LSTM):
                out = out + last[1][-1] if self.recurrent.batch_first is False else out
        return (out[:, -1] if self.recurrent.batch_first else out[-1])[..., :3] - y


def field(kind: Callable[..., nn.RNNBase], steps: int = 1, hidden: bool = False, **options: Any) -> Stepped:
    torch.manual_seed(0)
    return Stepped(kind(3, 3, **options), steps, hidden)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps": 2, "hidden": True},
        {"batch_first": True, "steps": 2},
        {"num_layers": 2, "hidden": True},
        {"bias": False},
        {"bidirectional": True, "steps": 2},
        {"num_layers": 2, "dropout": 0.5},
    ],
    ids=str,
)
def test_recurrent_layers(kind: Any, options: dict[str, Any]) -> None:
    func = field(kind, **options).eval().double()
    lowers(func, random(4, 3), [random(1, 3, seed=8)], list(func.parameters()))
    # Torch has another operation for an LSTM in single precision.
    true(func.float())


def test_an_lstm_with_a_projection() -> None:
    torch.manual_seed(0)
    func = Stepped(nn.LSTM(3, 5, proj_size=3)).double()
    lowers(func, random(4, 3), (), list(func.parameters()))


def test_dropout_between_layers_is_refused_in_training() -> None:
    assert "random" in declined(field(nn.GRU, num_layers=2, dropout=0.5, steps=2))


def _replaced(func: Stepped) -> None:
    func.recurrent.weight_hh_l0 = nn.Parameter(torch.zeros(func.recurrent.weight_hh_l0.shape))


def _behind_its_back(func: Stepped) -> None:
    parameter = nn.Parameter(torch.zeros(func.recurrent.weight_ih_l0.shape))
    func.recurrent._parameters["weight_ih_l0"] = parameter


def _in_the_list(func: Stepped) -> None:
    func.recurrent._flat_weights[0] = torch.zeros(func.recurrent.weight_ih_l0.shape)


def _in_place(func: Stepped) -> None:
    nn.init.zeros_(func.recurrent.weight_ih_l0)


def _loaded(func: Stepped) -> None:
    func.load_state_dict({name: value * 2 for name, value in func.state_dict().items()})


CHANGES: list[Callable[[Stepped], Any]] = [_replaced, _behind_its_back, _in_the_list, _in_place, _loaded]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights(kind: Any, change: Callable[[Stepped], Any]) -> None:
    func = field(kind, hidden=True)
    true(func)
    before = func(TIME, Y)
    change(func)
    for _ in range(2):  # torch notices new weights in the first call
        captured = captured_at(func, TIME, Y)
        expected = func(TIME, Y)
        assert not torch.equal(expected, before)
        if isinstance(captured, Capture):
            torch.testing.assert_close(evaluated(captured, TIME, Y), expected)
    if change is _in_the_list:
        assert "cannot be watched" in declined(func)
    else:
        true(func)


def test_weights_that_are_lent_for_a_call() -> None:
    func = field(nn.GRU)
    true(func)
    lent = {name: torch.zeros_like(value) for name, value in func.named_parameters()}
    torch.func.functional_call(func, lent, (TIME, Y))
    captured = captured_at(func, TIME, Y)
    expected = func(TIME, Y)
    assert not isinstance(captured, Capture) or torch.equal(evaluated(captured, TIME, Y), expected)
    true(func)


def test_a_copy() -> None:
    func = field(nn.GRU)
    true(func)
    other = copy.deepcopy(func)
    nn.init.zeros_(other.recurrent.weight_ih_l0)
    true(other)
    true(func)


def test_other_sizes() -> None:
    func = field(nn.GRU, num_layers=2)
    true(func)
    func.recurrent.num_layers = 1
    assert not isinstance(captured_at(func, TIME, Y), Capture) or true(func)
