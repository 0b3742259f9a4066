"""Random vector fields, written out as Python: what fails can be read, pasted and run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

from field_vocabulary import BATCHED, ELEMENTWISE, MIXING, PAIRS, REDUCTIONS, SAME_WIDTH, TRANSFORMS

Draw = Callable[[st.SearchStrategy[Any]], Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """A variable of the field: its name, and its shape for one trajectory."""

    name: str
    shape: Shape


@dataclass
class RandomField:
    """A field as source text, with what it needs.

    Attributes:
        source: Defines ``field(t, y)``; ``p0``, ``p1`` and so on are its parameters, double tensors.
        shapes: Those of its parameters.
        states: Shapes of the state: several for a tuple.
        seed: Of the numbers in the parameters and the state.
        mixing: Whether trajectories look at each other.
        contexts: Whether some of its parameters hold a row for each trajectory.
    """

    source: str
    shapes: tuple[Shape, ...]
    states: tuple[Shape, ...]
    seed: int
    mixing: bool = False
    contexts: bool = False

    def __str__(self) -> str:
        return f"{self.source}\n# parameters {self.shapes}, state {self.states}, seed {self.seed}"

    def build(self) -> tuple[Callable[..., Any], list[Tensor], Any]:
        """The function, its parameters and a state: a tensor, or a tuple of tensors."""
        generator = torch.Generator().manual_seed(self.seed)

        def draw(shape: Shape) -> Tensor:
            return torch.randn(shape, dtype=torch.float64, generator=generator)

        parameters = [(0.5 * draw(shape)).requires_grad_() for shape in self.shapes]
        state = tuple(draw(shape) for shape in self.states)
        space: dict[str, Any] = {"torch": torch, "F": F, **{f"p{i}": p for i, p in enumerate(parameters)}}
        exec(compile(self.source, "<random field>", "exec"), space)
        return space["field"], parameters, state if len(state) > 1 else state[0]


@dataclass
class Writer:
    """Writes a field, a statement at a time."""

    draw: Draw
    batch: int | None  # trajectories, where there is an axis for them
    contexts: bool = False
    values: list[Value] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def choose(self, items: Any) -> Any:
        return self.draw(st.sampled_from(list(items)))

    def parameter(self, *shape: int) -> str:
        self.shapes.append(shape)
        return f"p{len(self.shapes) - 1}"

    def value(self) -> Value:
        """Any value, the latest first in line for shrinking."""
        return self.choose(reversed(self.values))

    def write(self, expression: str, shape: Shape) -> Value:
        new_value = Value(f"v{len(self.lines)}", shape)
        self.lines.append(f"{new_value.name} = {expression}")
        self.values.append(new_value)
        return new_value

    def matrix(self) -> Value:
        """A value of two dimensions, made of a vector where there is none."""
        matrices = [value for value in self.values if len(value.shape) == 2]
        if matrices:
            return self.choose(reversed(matrices))
        v = self.value()
        return self.write(f"torch.stack([{v.name}, torch.sin({v.name})], -2)", (2, *v.shape))


def elementwise(w: Writer) -> None:
    v = w.value()
    w.write(w.choose(ELEMENTWISE).format(v=v.name), v.shape)


def transform(w: Writer) -> None:
    v = w.value()
    w.write(w.choose(TRANSFORMS).format(v=v.name), v.shape)


def pair(w: Writer) -> None:
    a = w.value()
    b = w.choose([value for value in w.values if value.shape == a.shape])
    w.write(w.choose(PAIRS).format(a=a.name, b=b.name), a.shape)


def linear(w: Writer) -> None:
    v = w.value()
    wide, width = v.shape[-1], w.draw(st.integers(1, 9))
    weight, bias = w.parameter(width, wide), w.parameter(width)
    form = w.choose(("F.linear({v}, {w}, {b})", "{v} @ {w}.T + {b}", "F.linear({v}, {w} * {b}[:, None])"))
    w.write(form.format(v=v.name, w=weight, b=bias), (*v.shape[:-1], width))


def scaled(w: Writer) -> None:
    v = w.value()
    scale = w.parameter(v.shape[-1])
    form = w.choose(
        ("{v} * {s}", "F.prelu({v}, {s}[:1])", "torch.sin({v} + {s})", "{v} * torch.sigmoid({s} * t)")
    )
    w.write(form.format(v=v.name, s=scale), v.shape)


def reduction(w: Writer) -> None:
    v = w.value()
    w.write(w.choose(REDUCTIONS).format(v=v.name, n=v.shape[-1]), (*v.shape[:-1], 1))


def same_width(w: Writer) -> None:
    v = w.value()
    w.write(w.choose(SAME_WIDTH).format(v=v.name, n=v.shape[-1]), v.shape)


def normalised(w: Writer) -> None:
    v = w.value()
    n = v.shape[-1]
    w.write(f"F.layer_norm({v.name}, ({n},), {w.parameter(n)}, {w.parameter(n)}, eps=0.1)", v.shape)


def broadcast(w: Writer) -> None:
    v = w.value()
    n = v.shape[-1]
    narrow = w.write(f"{v.name}[..., :1]", (*v.shape[:-1], 1))
    w.write(
        w.choose(("torch.sin({a} * {b})", "{a} - {b}")).format(a=v.name, b=narrow.name), (*v.shape[:-1], n)
    )


def concatenated(w: Writer) -> None:
    a = w.value()
    b = w.choose([value for value in w.values if value.shape[:-1] == a.shape[:-1]])
    if a.shape[-1] + b.shape[-1] <= 12:
        w.write(f"torch.cat([{a.name}, {b.name}], -1)", (*a.shape[:-1], a.shape[-1] + b.shape[-1]))


def with_time(w: Writer) -> None:
    v = w.value()
    form = w.choose(
        (
            "torch.cat([{v}, t.expand({v}[..., :1].shape)], -1)",
            "torch.cat([t * torch.ones_like({v}[..., :1]), {v}], dim=-1)",
        )
    )
    w.write(form.format(v=v.name), (*v.shape[:-1], v.shape[-1] + 1))


def embedded_time(w: Writer) -> None:
    v = w.value()
    n = v.shape[-1]
    frequencies = w.parameter(n)
    w.write(
        f"torch.cat([torch.sin(t * {frequencies}), torch.cos(t * {frequencies})])[:{n}] + {v.name}", v.shape
    )


def squashed(w: Writer) -> None:
    v = w.value()
    n = v.shape[-1]
    gate = f"torch.sigmoid(F.linear(t.reshape(1), {w.parameter(n, 1)}, {w.parameter(n)}))"
    w.write(f"{v.name} * {gate} + F.linear(t.view(1, 1), {w.parameter(n, 1)})[0]", v.shape)


def sliced(w: Writer) -> None:
    v = w.value()
    n = v.shape[-1]
    start = w.draw(st.integers(0, n - 1))
    stop = w.draw(st.integers(start + 1, n))
    step = w.draw(st.integers(1, 2))
    w.write(f"{v.name}[..., {start}:{stop}:{step}]", (*v.shape[:-1], len(range(start, stop, step))))


def indexed(w: Writer) -> None:
    v = w.value()
    index = w.draw(st.lists(st.integers(0, v.shape[-1] - 1), min_size=1, max_size=5))
    w.write(f"{v.name}[..., {index}]", (*v.shape[:-1], len(index)))


def stacked(w: Writer) -> None:
    """Components by hand, as in a physical model."""
    v = w.value()
    if v.shape[-1] < 2:
        return
    w.lines.append(f"a, b, *_ = {v.name}.unbind(-1)")
    last = w.choose(("a - a * b", "torch.sin(a) + b", "0.5 * b ** 2"))
    w.write(f"torch.tanh(torch.stack([b, {last}], dim=-1))", (*v.shape[:-1], 2))


def transposed(w: Writer) -> None:
    m = w.matrix()
    w.write(w.choose(("{m}.transpose(-1, -2)", "{m}.mT")).format(m=m.name), m.shape[::-1])


def flattened(w: Writer) -> None:
    m = w.matrix()
    if m.shape[0] * m.shape[1] <= 24:
        w.write(f"{m.name}.flatten(-2)", (m.shape[0] * m.shape[1],))


def outer(w: Writer) -> None:
    v = w.value()
    if len(v.shape) == 1:
        n = v.shape[0]
        w.write(f"torch.tanh({v.name}.unsqueeze(-1) * {v.name}.unsqueeze(-2))", (n, n))


def product(w: Writer) -> None:
    """Matrices of the state times matrices of the state."""
    m = w.matrix()
    rows = m.shape[0]
    form = w.choose(
        (
            "torch.tanh({m} @ {m}.mT)",
            "torch.tanh(torch.einsum('...ik,...jk->...ij', {m}, {m}))",
            "torch.softmax({m} @ {m}.mT / 2.0, dim=-1)",
        )
    )
    w.write(form.format(m=m.name), (rows, rows))


def attention(w: Writer) -> None:
    m = w.matrix()
    w.write(f"torch.softmax({m.name} @ {m.name}.transpose(-2, -1), -1) @ {m.name}", m.shape)


def bilinear(w: Writer) -> None:
    v = w.value()
    if len(v.shape) == 1:
        n = v.shape[0]
        tensor = w.parameter(2, n, n)
        w.write(f"torch.tanh(torch.einsum('...i,kij,...j->...k', {v.name}, {tensor}, {v.name}))", (2,))


def hypernetwork(w: Writer) -> None:
    """A weight computed from the time."""
    v = w.value()
    n = v.shape[-1]
    flat = f"torch.tanh({w.parameter(2 * n)} * t + {w.parameter(2 * n)})"
    w.write(f"{v.name} @ ({flat}).view({n}, 2)", (*v.shape[:-1], 2))


def batched(w: Writer) -> None:
    v = w.value()
    if w.batch is not None and len(v.shape) == 1:
        form, wider = w.choose(BATCHED)
        w.write(form.format(v=v.name), (v.shape[0] + wider,))


def context(w: Writer) -> None:
    """What a latent ODE is given for each trajectory."""
    v = w.value()
    if w.batch is not None and len(v.shape) == 1:
        w.contexts = True
        form, width = w.choose((("torch.cat([{v}, {c}], -1)", 2), ("{v} * torch.sin({c})", v.shape[0])))
        expression = form.format(v=v.name, c=w.parameter(w.batch, width))
        w.write(expression, (v.shape[0] + (width if "cat" in form else 0),))


def table(w: Writer) -> None:
    """A row of a table, or of one for each trajectory, at a time."""
    v = w.value()
    n, rows = v.shape[-1], w.draw(st.integers(1, 4))
    place = w.choose(
        (
            f"torch.bucketize(t, {w.parameter(rows)}.sort().values).clamp(max={rows - 1})",
            f"(t * 7).long().clamp(0, {rows - 1})",
            f"(t * 9).floor().int() % {rows}",
        )
    )
    of_each = w.batch is not None and len(v.shape) == 1 and w.draw(st.booleans())
    w.contexts = w.contexts or of_each
    read = f"{w.parameter(w.batch, rows, n)}[:, {place}]" if of_each else f"{w.parameter(rows, n)}[{place}]"
    w.write(f"torch.tanh({v.name} * {read})", v.shape)


def looked_up(w: Writer) -> None:
    """Rows of a table at a state."""
    v = w.value()
    rows = w.draw(st.integers(1, 4))
    knots = f"{w.parameter(rows)}.sort().values"
    form = w.choose(
        (
            "{v} * {table}[torch.searchsorted({knots}, {v}.detach()) - {rows}]",
            "{v} * F.embedding(torch.bucketize({v}, {knots}), {table}[:, None])[..., 0]",
            "{v} * {table}[({v}.tanh() * {rows}).long().abs()]",
        )
    )
    w.write(form.format(v=v.name, table=w.parameter(rows + 1), knots=knots, rows=rows), v.shape)


def mixing(w: Writer) -> None:
    v = w.values[-1]
    w.write(w.choose(MIXING).format(v=v.name), v.shape)


def in_place(w: Writer) -> None:
    v = w.value()
    new_value = w.write(f"torch.zeros_like({v.name})", v.shape)
    w.lines.append(f"{new_value.name}[..., 0] = torch.sin({v.name}[..., -1])")
    w.lines.append(f"{new_value.name} += 0.5 * {v.name}")


RULES = (
    elementwise,
    pair,
    linear,
    scaled,
    reduction,
    same_width,
    normalised,
    broadcast,
    concatenated,
    with_time,
    embedded_time,
    squashed,
    sliced,
    indexed,
    stacked,
    transposed,
    flattened,
    outer,
    product,
    attention,
    bilinear,
    hypernetwork,
    in_place,
    batched,
    context,
    transform,
    table,
    looked_up,
)


@st.composite
def random_fields(draw: Draw) -> RandomField:
    """Fields of every vocabulary over states of every kind."""
    features, batch = draw(st.integers(1, 5)), draw(st.sampled_from((3, 1, 2, 8, 11)))
    nodes = draw(st.integers(1, 4))
    states: dict[str, tuple[Shape, ...]] = {
        "batch": ((batch, features),),
        "one trajectory": ((features,),),
        "nodes": ((batch, nodes, features),),
        "pair": ((batch, features), (batch, 1)),
        "mixed": ((max(batch, 2), features),),
    }
    kind = draw(st.sampled_from(list(states)))
    w = Writer(draw, batch=None if kind == "one trajectory" else states[kind][0][0])
    if kind == "pair":
        w.lines.append("y, z = y")
        w.values.append(Value("z", (1,)))
    w.values.append(Value("y", (nodes, features) if kind == "nodes" else (features,)))
    for rule in draw(st.lists(st.sampled_from(RULES), min_size=1, max_size=7)):
        rule(w)
    mixed = kind == "mixed" and len(w.values[-1].shape) == 1
    if mixed:
        mixing(w)
    returned = [_returned(w, (nodes, features) if kind == "nodes" else (features,))]
    if kind == "pair":
        returned.append(_returned(w, (1,)))
    text = "\n".join(f"    {line}" for line in [*w.lines, f"return {', '.join(returned)}"])
    source = f"def field(t, y):\n{text}"
    seed = draw(st.integers(0, 99))
    return RandomField(source, tuple(w.shapes), states[kind], seed, mixed, w.contexts)


def _returned(w: Writer, shape: Shape) -> str:
    """The last value in the shape of the state, with a part of the state itself."""
    v = w.values[-1]
    if len(v.shape) == 2 and len(shape) == 1:
        v = w.write(f"{v.name}.mean(-2)", v.shape[1:])
    if len(shape) == 2 and v.shape[:-1] != shape[:1]:
        rows = v.name if len(v.shape) == 1 else f"{v.name}.mean(-2)"
        v = w.write(f"({rows}).unsqueeze(-2) + 0.1 * y.sum(-1, keepdim=True)", (shape[0], v.shape[-1]))
    weight = w.parameter(shape[-1], v.shape[-1])
    return f"torch.tanh(F.linear({v.name}, {weight}))"
