"""All that changes while a model trains, so that a training can be saved and go on as if never stopped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Model = TypeVar("Model", bound=nn.Module)

# Of the learning rate: where `annealed` leads to.
_LAST = 0.01


class DoesNotFit(ValueError):
    """What was saved is of another model."""


@dataclass
class Training(Generic[Model]):
    """A model in training.

    Attributes:
        model: The model.
        config: The keyword arguments that the model's class made it from.
        optimizer: Of its parameters.
        random: Draws what training draws.
        schedule: Of the learning rate, where it changes.
        epoch: How many epochs the model has had.
    """

    model: Model
    config: Mapping[str, Any]
    optimizer: Optimizer
    random: torch.Generator
    schedule: LambdaLR | None = None
    epoch: int = 0

    def step(self) -> None:
        """An update from the present gradients, and the next learning rate."""
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()

    def state(self) -> dict[str, Any]:
        """All of it, as what `torch.load` reads with `weights_only=True`."""
        return {
            "class": type(self.model).__name__,
            "config": dict(self.config),
            "state_dict": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "random": self.random.get_state(),
            "epoch": self.epoch,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores what `state` returned.

        Raises:
            DoesNotFit: If it is of another model, or incomplete.
        """
        _compare(state, self.state())
        try:
            self.model.load_state_dict(state["state_dict"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.schedule is not None:
                self.schedule.load_state_dict(state["schedule"])
            self.random.set_state(state["random"])
            self.epoch = int(state["epoch"])
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DoesNotFit(f"a training that is damaged ({error})") from error


def annealed(optimizer: Optimizer, updates: int) -> LambdaLR:
    """Lowers the rate along half a cosine to a hundredth within so many updates; there it stays.

    The rate of an update depends only on its number, not on how many are to follow: a training that goes on
    is then the longer training.
    """

    def factor(update: int) -> float:
        return _LAST + (1.0 - _LAST) * 0.5 * (1.0 + math.cos(math.pi * min(update / updates, 1.0)))

    return LambdaLR(optimizer, factor)


def _compare(saved: Mapping[str, Any], accepted: Mapping[str, Any]) -> None:
    for part in ("class", "config"):
        if saved.get(part) != accepted[part]:
            raise DoesNotFit(f"a model of {part} {saved.get(part)}; accepted is {part} {accepted[part]}")
    ours, theirs = _shapes(accepted), _shapes(saved)
    for name in {**ours, **theirs}:
        if ours.get(name) != theirs.get(name):
            raise DoesNotFit(
                f"{name} of shape {theirs.get(name, 'none')}; accepted is {ours.get(name, 'none')}"
            )


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    weights = state.get("state_dict")
    if not isinstance(weights, Mapping):
        return {}
    return {name: tuple(value.shape) for name, value in weights.items() if isinstance(value, torch.Tensor)}
