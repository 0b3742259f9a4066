"""A capture serves every batch size that it is true for, and is row-wise only if its function is."""

import copy

import torch
from torch import Tensor, nn

import flashode.capture
from capture.agreement import T, Y, declined, true
from flashode.capture import Capture, capture


def kept() -> int:
    """How many traces were made since the cache was emptied."""
    return sum(1 for _ in flashode.capture._cache.all_entries())


def test_a_new_batch_size_needs_no_trace() -> None:
    net = nn.Linear(3, 3)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return net(y).tanh() * t

    program = true(field).program
    for size in (2, 5, 17):
        assert true(field, y=torch.randn(size, 3)).program is program
    assert kept() == 1


def test_a_batch_of_one_is_traced_by_itself() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        out = y.squeeze() * 2
        return out + out.sum() if out.dim() == 1 else out

    for y in (Y, Y[:1], Y[:2], Y[:1]):
        rows = y[:, None]
        value = field(T, rows).reshape(rows.shape)

        def shaped(t: Tensor, y: Tensor) -> Tensor:
            return field(t, y).reshape(y.shape)

        found = capture(shaped, T, rows)
        assert isinstance(found, Capture)
        assert found.batched == (len(rows) > 1)
        flat = rows.reshape(len(rows), -1) if found.batched else rows.reshape(-1)
        result = found.program.interpret(T, flat, found.parameters())
        torch.testing.assert_close(result.reshape(rows.shape), value)


def test_branching_on_the_batch_size() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y if y.shape[0] < 10 else -y

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
