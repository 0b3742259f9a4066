"""A capture serves every batch size that it is true for, and is row-wise only if its function is."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import flashode.capture
from capture.agreement import T, Y, captured_at, declined, true
from flashode.capture import Capture
from flashode.declined import Declined


def entry_count() -> int:
    """How many traces were made since the cache was emptied."""
    return sum(1 for _ in flashode.capture._cache.all_entries())


def test_a_new_batch_size_needs_no_trace() -> None:
    net = nn.Linear(3, 3)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return net(y).tanh() * t

    program = true(field).program
    for size in (2, 5, 17):
        assert true(field, y=torch.randn(size, 3)).program is program
    assert entry_count() == 1


def test_a_batch_of_one_is_traced_by_itself() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        out = y.squeeze() * 2
        return out + out.sum() if out.dim() == 1 else out

    for y in (Y, Y[:1], Y[:2], Y[:1]):
        rows = y[:, None]
        value = field(T, rows).reshape(rows.shape)

        def shaped(t: Tensor, y: Tensor) -> Tensor:
            return field(t, y).reshape(y.shape)

        captured = captured_at(shaped, T, rows)
        assert isinstance(captured, Capture)
        assert captured.batched == (len(rows) > 1)
        flat = rows.reshape(len(rows), -1) if captured.batched else rows.reshape(-1)
        result = captured.program.interpret(T, flat, captured.parameters())
        torch.testing.assert_close(result.reshape(rows.shape), value)


def test_branching_on_the_batch_size() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y if y.shape[0] < 10 else -y

    for size in (4, 12, 6, 16, 9, 10):
        true(field, y=torch.randn(size, 3))


def test_a_number_that_depends_on_the_batch_size() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * (1.0 + (y.shape[0] < 10))

    true(field)
    assert "with a batch of 12" in declined(field, torch.randn(12, 3))
    true(field, y=torch.randn(6, 3))


def test_batch_norm_is_not_row_wise() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.norm(y)
            return out

    net = Normed()
    before = copy.deepcopy(net.state_dict())
    declined(net)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def carries(func: Callable[[Any, Any], Any], *tensors: Tensor, y: Tensor = Y) -> None:
    """The capture carries these tensors along and agrees with the function."""
    captured = captured_at(func, T, y)
    assert isinstance(captured, Capture), captured
    assert captured.batched
    assert len(captured.carried) == len(tensors)
    for carried, tensor in zip(captured.carried, tensors, strict=True):
        assert torch.equal(carried, tensor.to(y.dtype))
    c = torch.cat([part.reshape(len(y), -1) for part in captured.carried], 1) if captured.carried else None
    rates = captured.program.interpret(T, y.reshape(len(y), -1), captured.parameters(), c)
    torch.testing.assert_close(rates.reshape(y.shape), func(T, y))


def test_a_tensor_with_a_slice_for_each_trajectory() -> None:
    c, mask = torch.randn(4, 2), torch.tensor([[True], [False], [True], [True]])
    carries(lambda t, y: y * c[:, :1] + c[:, 1:], c)
    carries(lambda t, y: torch.where(mask, y, -y), mask)
    carries(lambda t, y: torch.einsum("bi,bj->bj", c, y), c)
    carries(lambda t, y: y.reshape(c.shape[0], 3) + c.sum(1)[:, None], c)
    carries(lambda t, y: c[:, :1].expand(y.shape), c)


def test_a_weight_beside_a_tensor_with_a_slice_for_each_trajectory() -> None:
    c, weight = torch.randn(4, 3), torch.randn(4, 3)
    carries(lambda t, y: torch.tanh(y @ weight.T) @ weight * c, c)


def test_a_tensor_that_a_transform_sees_is_not_carried() -> None:
    """Python's view of it would not be the one of the trace."""
    c = torch.randn(4, 3)

    def field(t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = torch.func.vmap(lambda row, own: row * own)(y, c)
        return out

    captured = captured_at(field, T, Y)
    if isinstance(captured, Capture):
        assert not captured.batched
        value = captured.program.interpret(T, Y.reshape(-1), captured.parameters())
        torch.testing.assert_close(value.reshape(Y.shape), field(T, Y))


def test_what_mixes_the_slices_is_one_trajectory() -> None:
    c = torch.randn(4, 3)
    for field in (
        lambda t, y: y * c.flip(0),
        lambda t, y: y + c * c.mean(0),
        lambda t, y: y + c[[1, 0, 2, 3]],
    ):
        assert not true(field).batched


def test_a_slice_is_read_afresh() -> None:
    c = torch.randn(4, 3)
    box = [c]

    def field(t: Tensor, y: Tensor) -> Tensor:
        return y.tanh() * box[0]

    for _ in range(3):
        carries(field, box[0])
        box[0] = torch.randn(4, 3)
    assert entry_count() == 1


def test_the_components_of_a_tuple_share_the_batch_axis() -> None:
    def field(t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(-part for part in state)

    for shapes, batched in (
        (((4, 3), (4, 1)), True),
        (((4, 3), (4,)), True),
        (((4, 2, 3), (4,)), True),
        (((4,), (4,)), False),
        (((4, 3), (3,)), False),
        (((4, 3), ()), False),
        (((3,), ()), False),
    ):
        captured = captured_at(field, T, tuple(torch.randn(shape) for shape in shapes))
        assert isinstance(captured, Capture)
        assert captured.batched == batched, shapes


def test_a_field_whose_answer_has_another_shape_is_not_captured() -> None:
    shift = torch.randn(3)
    for field in (
        lambda t, y: shift,
        lambda t, y: t,
        lambda t, y: y.mean(1, keepdim=True),
        lambda t, y: torch.zeros(1, 3),
        lambda t, y: -y[0],
        lambda y, t: -y,
    ):
        captured = captured_at(field, T, Y)
        assert isinstance(captured, Declined)
        assert captured.raised
        shape = tuple(field(T, Y).shape)
        assert captured.reason == (
            f"func must return a tensor of shape {tuple(Y.shape)}, as y0 has, got {shape}; are its arguments "
            "(t, y), in that order?"
        )


def test_a_leading_axis_of_one_is_none() -> None:
    captured = captured_at(lambda t, y: -y[None], T, Y)
    assert isinstance(captured, Capture)
    assert captured.batched
    torch.testing.assert_close(captured.program.interpret(T, Y, captured.parameters()), -Y)
