"""Training the same model twice: with torchdiffeq, and with flashode in its place."""

from __future__ import annotations

from collections.abc import Callable

import torch

import flashode

Training = Callable[[], list[float]]


def train_twice(train: Training) -> tuple[list[float], list[float], flashode.Report]:
    """The losses of a training that seeds itself: theirs, ours, and the solves of the second.

    Args:
        train: gives the loss of each update.
    """
    with torch.random.fork_rng():
        theirs = train()
        with flashode.record() as report, flashode.patch_torchdiffeq():
            ours = train()
    return theirs, ours, report
