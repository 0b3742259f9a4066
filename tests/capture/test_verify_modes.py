"""When a capture is compared with its function."""

from collections import OrderedDict

import pytest
import torch
from torch import Tensor

import flashode.capture
from capture.agreement import Counted, T, Y, captured_at, must_capture
from flashode.capture import Capture
from flashode.declined import Declined
from flashode.verify import Verify

# At how many points: where a solve starts, for a new capture also nearby, and where two comparisons tell.
MADE, CONFIRMED = 4, 3


class Compared:
    """Counts comparisons and can let them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fully = self.in_values = 0
        for name in ("verify", "verify_values"):
            real = getattr(flashode.capture.making, name)

            def counting(*arguments: object, name: str = name, real: object = real) -> object:
                if name == "verify":
                    self.fully += 1
                else:
                    self.in_values += 1
                return real(*arguments)  # type: ignore[operator]

            monkeypatch.setattr(flashode.capture.making, name, counting)

    def since(self) -> tuple[int, int]:
        counts = self.fully, self.in_values
        self.fully = self.in_values = 0
        return counts


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Compared:
    return Compared(monkeypatch)


def took(net: Counted, y: Tensor, verify: Verify) -> Capture:
    captured = captured_at(net, T, y, verify)
    assert isinstance(captured, Capture), captured
    assert net.nfe == 0
    return captured


def test_at_first_and_at_new_batch_sizes(compared: Compared) -> None:
    net = Counted()
    took(net, Y, "first")
    assert compared.since() == (MADE, 0)
    took(net, Y, "first")
    assert compared.since() == (0, 0)
    took(net, torch.randn(9, 3), "first")
    assert compared.since() == (CONFIRMED, 0)
    took(net, torch.randn(9, 3), "first")
    assert compared.since() == (0, 0)


def test_never(compared: Compared) -> None:
    net = Counted()
    program = took(net, Y, "never").program
    took(net, torch.randn(9, 3), "never")
    assert took(net, Y, "never").program is program
    assert compared.since() == (0, 0)


def test_what_was_never_compared_is_for_others(compared: Compared) -> None:
    net = Counted()
    took(net, Y, "never")
    took(net, Y, "first")
    assert compared.since() == (MADE, 0)
    took(net, Y, "first")
    took(net, Y, "never")
    assert compared.since() == (0, 0)


def test_a_batch_size_that_was_never_compared_is_for_others(compared: Compared) -> None:
    net, other = Counted(), torch.randn(9, 3)
    took(net, Y, "first")
    compared.since()
    for _ in range(3):
        took(net, other, "never")
    assert compared.since() == (0, 0)
    took(net, other, "first")
    assert compared.since() == (CONFIRMED, 0)


def test_always(compared: Compared) -> None:
    net = Counted()
    took(net, Y, "always")
    compared.since()
    for _ in range(3):
        took(net, Y, "always").count(0)
    assert compared.since() == (0, 3)
    took(net, torch.randn(9, 3), "always")
    assert compared.since() == (CONFIRMED, 0)


def test_always_sees_what_no_check_does(monkeypatch: pytest.MonkeyPatch) -> None:
    # Torch's own registry of hooks is not looked for where torch keeps it.
    net = torch.nn.GELU()
    field = lambda t, y: net(y)  # noqa: E731
    must_capture(field)
    hooks = OrderedDict({0: lambda module, arguments, result: -result})
    monkeypatch.setattr(torch.nn.modules.module, "_global_forward_hooks", hooks)
    assert isinstance(captured_at(field, T, Y, "first"), Capture)
    captured = captured_at(field, T, Y, "always")
    assert isinstance(captured, Declined)
    assert "value differs from the function's" in captured.reason
    monkeypatch.undo()
    assert isinstance(captured_at(field, T, Y, "always"), Capture)


def test_always_with_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    net = torch.nn.GELU()
    field = lambda t, y: net(y)  # noqa: E731
    must_capture(field)

    def failing(x: Tensor, approximate: str) -> Tensor:
        raise ValueError("no such thing")

    monkeypatch.setattr(torch.nn.functional, "gelu", failing)
    captured = captured_at(field, T, Y, "always")
    assert isinstance(captured, Declined)
    assert "no such thing" in captured.reason


@pytest.mark.parametrize("first", ["never", "first"])
def test_a_batch_size_is_traced_in_any_case(compared: Compared, first: Verify) -> None:
    branching = lambda t, y: (1.0 + (y.shape[0] >= 10)) * t**2 * y  # noqa: E731
    assert isinstance(captured_at(branching, T, Y, first), Capture)
    compared.since()
    for size, kind in ((12, Declined), (9, Capture), (12, Declined), (9, Capture)):
        assert isinstance(captured_at(branching, T, torch.randn(size, 3), "never"), kind)
        assert compared.since() == (0, 0)
    if first == "first":
        # Once it is known, no solve uses the capture, not even where the values agree.
        modes: tuple[Verify, ...] = ("always", "always", "first", "never")
        for verify in modes:
            assert isinstance(captured_at(branching, 0 * T, torch.randn(12, 3), verify), Declined)


def test_a_reason_needs_no_comparison() -> None:
    field = lambda t, y: torch.special.i0(y)  # noqa: E731
    reasons = {captured_at(field, T, Y, verify) for verify in ("never", "first", "always")}
    assert len(reasons) == 1
    assert len(list(flashode.capture._cache.all_entries())) == 1


ON_A_PART = {
    "log": torch.log,
    "log1p": lambda y: torch.log1p(y - 1),
    "log2": torch.log2,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "power": lambda y: y**1.5,
    "root": lambda y: y ** (1 / 3),
    "power of itself": lambda y: y**y,
    "asin": torch.asin,
    "acos": torch.acos,
    "atanh": torch.atanh,
    "acosh": lambda y: torch.acosh(y + 1),
    "logit": torch.logit,
    "xlogy": lambda y: torch.xlogy(y, 1 - y),
    "entropy": lambda y: -(y * y.log()).sum(-1, keepdim=True) * y,
    "reciprocal": lambda y: 1 / y,
    "in part": lambda y: torch.where(y > 0, y.clamp(min=1e-3).log(), y),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ON_A_PART)
def test_functions_that_are_defined_on_a_part(name: str, dtype: torch.dtype) -> None:
    y0 = torch.linspace(0.2, 0.8, 12, dtype=dtype).reshape(4, 3)
    field = ON_A_PART[name]
    captured = captured_at(lambda t, y: -field(y), torch.zeros((), dtype=dtype), y0, end=1.0)
    assert isinstance(captured, Capture), captured
