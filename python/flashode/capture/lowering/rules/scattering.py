"""The largest, smallest or sum of what is scattered to each place, by an index whose content is known."""

from __future__ import annotations

import math

import numpy as np

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.indexing import placed
from flashode.capture.refusal import Computed, Mixing, Unsupported

_EXTREMES = {"amax": "maximum", "amin": "minimum"}


def _scatter_reduce(low: Lowering, call: Call) -> View:
    target, index, source = call["self"], call["index"], call["src"]
    dim, reduce, included = call.dim(target), call["reduce"], bool(call["include_self"])
    content = low.known(index)
    if content is None:
        raise Computed(f"{call.name} with an index that is computed or belongs to a batch is not supported")
    if not target.axis == index.axis == source.axis:
        raise Mixing(f"{call.name} joins a batch axis with another axis")
    places = list(np.indices(index.positions.shape))
    places[dim] = content
    rows = source.rows[tuple(slice(0, size) for size in index.positions.shape)]
    if reduce == "sum" and included:
        return placed(low, target, tuple(places), rows, add=True)
    if reduce not in _EXTREMES:
        raise Unsupported(
            f"{call.name} with reduce={reduce!r} is not supported", remedy="scatter_add or amax"
        )
    places_in = np.arange(target.positions.size)
    elements = places_in.reshape(target.positions.shape)[tuple(places)].ravel()
    left_out = np.zeros(0, np.int64) if included else np.unique(elements)
    kept = np.setdiff1d(places_in, left_out)
    own = target.rows.ravel()
    extremes = _extremes(
        low,
        _EXTREMES[reduce],
        np.concatenate([kept, elements]),
        np.concatenate([own[kept], rows.ravel()]),
        (left_out, own[left_out]),
    )
    return low.new(extremes.reshape(target.positions.shape), target.axis, target.dtype)


def _extremes(low: Lowering, fn: str, groups: Rows, members: Rows, others: tuple[Rows, Rows]) -> Rows:
    """The largest or smallest member of each group, none of which is empty; ties share its gradient.

    The mean of ties has the gradient, but is rounded. That of their distances from the extreme is zero. Torch
    counts among the ties ``others``, too, what was in the place of a group, though it is no member.
    """
    program, count = low.program, len(np.unique(groups))
    bound = _folded(low, fn, groups, program.unary("detach", (), members), count)
    level = bound[groups]
    ties = program.binary("eq", members, level)
    limit = program.constant(np.full(level.shape, math.inf))
    infinite = program.binary("eq", program.unary("abs", (), level), limit)
    distances = program.select(infinite, members, program.binary("sub", level, members))
    places, replaced = others
    equal = program.binary("eq", replaced, bound[places])
    tied = program.segment_sum(np.concatenate([ties, equal]), np.concatenate([groups, places]), count)
    zero = program.constant(np.zeros(members.shape))
    shared = program.segment_sum(program.select(ties, distances, zero), groups, count)
    shared = program.binary("div", shared, tied)
    limits = np.empty(count, np.int64)
    limits[groups] = infinite
    return program.select(limits, shared, program.binary("sub", bound, shared))


def _folded(low: Lowering, fn: str, groups: Rows, members: Rows, count: int) -> Rows:
    """The members of each group joined, in rounds of pairs."""
    order = np.argsort(groups, kind="stable")
    groups, members = groups[order], members[order]
    while len(groups) > count:
        starts = np.searchsorted(groups, groups)
        even = (np.arange(len(groups)) - starts) % 2 == 0
        paired = np.flatnonzero(even[:-1] & (groups[1:] == groups[:-1]))
        joined = low.program.binary(fn, members[paired], members[paired + 1])
        members = members.copy()
        members[paired] = joined
        groups, members = groups[even], members[even]
    return members


SCATTERING: dict[str, Rule] = {"scatter_reduce": _scatter_reduce}
