"""What was expected before a GPU ran the engine, and what is aimed at. None of it was measured.

Evaluations of a solve are those that the native engine counts, with one step size for all trajectories.
An NVIDIA H200 does 132 multiprocessors × 128 lanes × 1.98 GHz = 33.4e12 multiply-adds a second in
float32. A small field takes 0.5 to 2 µs an evaluation, for barriers of a block and, once a step, of all
blocks; the flow takes its multiply-adds at a quarter of that speed; a trajectory of lorenz takes some
3,000 instructions a step, at a third of it. The exact reverse takes four times as long as the solve
before it, an evaluation of the adjoint equations three times as long as one of the field, and a
microsecond for the gradients in parameters. Peers pay 5 to 10 µs for each launch of theirs, of which the
number is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DEVICE = "NVIDIA H200"
PEERS = ("torchdiffeq", "diffrax")


@dataclass(frozen=True)
class Estimate:
    """Of one row.

    Attributes:
        ours: Milliseconds, as text.
        torchdiffeq: Likewise.
        diffrax: Likewise; it is compiled by jax.
        aims: How many times as fast as each peer we mean to be.
    """

    ours: str
    torchdiffeq: str = ""
    diffrax: str = ""
    aims: Mapping[str, float] | None = None


ESTIMATES: Mapping[tuple[str, str], Estimate] = {
    ("spiral", "forward"): Estimate("0.6–1", "≥ 60", "10", {"torchdiffeq": 100, "diffrax": 10}),
    ("demo", "forward"): Estimate(
        "0.015–0.025, and a launch", "8", "0.3", {"torchdiffeq": 100, "diffrax": 10}
    ),
    ("latent", "forward"): Estimate("0.2", "30", "2–3", {"torchdiffeq": 100, "diffrax": 10}),
    ("wide", "forward"): Estimate("0.03–0.04", "2–3", "0.3", {"torchdiffeq": 50}),
    ("flow", "forward"): Estimate("0.6–0.75", "5", "2.5", {"torchdiffeq": 10, "diffrax": 4}),
    ("lorenz 131,072", "forward"): Estimate("1.5–2"),
    ("lorenz 1,048,576", "forward"): Estimate("10–15"),
    ("lorenz 8,388,608", "forward"): Estimate("80–120"),
    ("spiral", "discrete"): Estimate("3–5"),
    ("demo", "discrete"): Estimate("0.06–0.1, and two launches"),
    ("latent", "discrete"): Estimate("0.8–1.2"),
    ("wide", "discrete"): Estimate("0.15–0.2"),
    ("flow", "discrete"): Estimate("3", "15"),
    ("spiral", "continuous"): Estimate("5–8"),
    ("demo", "continuous"): Estimate("0.3–0.5"),
    ("latent", "continuous"): Estimate("6–9"),
    ("wide", "continuous"): Estimate("0.2–0.3"),
    ("flow", "continuous"): Estimate("27–35"),
}
