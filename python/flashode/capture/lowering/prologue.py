"""What a field computes from its own tensors alone, done by torch once for each solve.

Gradients of the kernel flow on through these steps by torch's own rules.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

Function = Callable[..., Tensor]

# Brings a tensor to the state's device and dtype and into one piece of memory.
_PREPARE = "prepare"
_TRANSPOSE = "mT"
# Elements of the largest tensor whose content is compared at each solve.
MAX_HELD = 4096
# Characters of the longest argument list that is written out.
_LONGEST = 60


@dataclass(frozen=True)
class Step:
    """Makes one register from earlier ones and ``held`` tensors; one of the field's without a function."""

    inputs: tuple[int, ...]
    function: Function | None = None
    slot: int = -1
    name: str = ""
    held: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Prologue:
    """The tensors a Program takes, from the tensors that the field owns.

    Attributes:
        steps: how each register is made, in order.
        outputs: the registers that become the Program's parameters.
        direct: the field's tensors that are the parameters, where no step computes anything; else None.
    """

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    direct: tuple[int, ...] | None

    def run(self, slots: Sequence[Tensor]) -> list[Tensor]:
        """The outputs from the field's tensors as they are now, contiguous and in the state's dtype."""
        if self.direct is not None:
            return [slots[slot] for slot in self.direct]
        registers: list[Tensor] = []
        with torch.enable_grad():
            for step in self.steps:
                if step.function is None:
                    registers.append(slots[step.slot])
                else:
                    registers.append(step.function(*[registers[i] for i in step.inputs]))
        return [registers[output] for output in self.outputs]

    def transposes(self) -> list[tuple[int, int]]:
        """Pairs of outputs of which the first is the transpose of the second."""
        made_of = [self._unprepared(output) for output in self.outputs]
        pairs = []
        for position, register in enumerate(made_of):
            step = self.steps[register]
            if step.name == _TRANSPOSE and self._unprepared(step.inputs[0]) in made_of:
                pairs.append((position, made_of.index(self._unprepared(step.inputs[0]))))
        return pairs

    def _unprepared(self, register: int) -> int:
        while (step := self.steps[register]).name == _PREPARE:
            register = step.inputs[0]
        return register

    def describe(self, names: Sequence[str]) -> list[str]:
        """How each output is made: the name of a tensor, or an expression such as ``sub(a, mT(a))``."""
        expressions: list[str] = []
        for step in self.steps:
            if step.function is None:
                expressions.append(names[step.slot])
            elif step.name == _PREPARE:
                expressions.append(expressions[step.inputs[0]])
            else:
                arguments = ", ".join(expressions[i] for i in step.inputs)
                shown = arguments if len(arguments) <= _LONGEST else "…"
                expressions.append(f"{step.name}({shown})" if step.inputs else step.name)
        return [expressions[output] for output in self.outputs]


class PrologueBuilder:
    """Collects steps; equal ones are made once."""

    def __init__(self, dtype: torch.dtype, device: torch.device, slots: Sequence[Tensor]) -> None:
        self._dtype = dtype
        self._device = device
        self._slots = slots
        self.held: dict[int, Tensor] = {}  # slots whose content the capture presumes
        # The checks on a field see to it that dtypes and strides of its tensors stay as they are now.
        self._ready = [tensor.dtype == dtype and tensor.is_contiguous() for tensor in slots]
        self._steps: list[Step] = []
        self._shapes: list[tuple[int, ...]] = []
        self._known: dict[Hashable, int] = {}
        self._checks: list[int] = []

    def shape(self, register: int) -> tuple[int, ...]:
        """The shape of a register."""
        return self._shapes[register]

    def content(self, register: int) -> Tensor | None:
        """What a register of integers or booleans holds now, which the capture presumes from here on.

        None if it is made of tensors that training changes, or of large ones.
        """
        step = self._steps[register]
        if step.function is None:
            tensor = self._slots[step.slot].detach()
            if tensor.is_floating_point() or tensor.is_complex() or tensor.numel() > MAX_HELD:
                return None
            self.held[step.slot] = tensor.clone()
            return tensor
        inputs = [self.content(source) for source in step.inputs]
        return None if any(source is None for source in inputs) else step.function(*inputs)

    def slot(self, slot: int, shape: tuple[int, ...]) -> int:
        """A tensor that the field owns, brought to the state: torch takes numbers from the CPU anywhere."""
        register = self._add(("slot", slot), Step((), slot=slot), shape)
        device = self._device
        if self._slots[slot].device == device:
            return register
        return self.apply(lambda x: x.to(device), [register], shape, _PREPARE, _PREPARE)

    def slots_behind(self, registers: Sequence[int]) -> set[int]:
        """The field's tensors that registers are made of."""
        behind = set(registers)
        for register in reversed(range(len(self._steps))):
            if register in behind:
                behind.update(self._steps[register].inputs)
        return {step.slot for register in behind if (step := self._steps[register]).function is None}

    def literal(self, key: Hashable, tensor: Tensor) -> int:
        """A tensor of literals."""
        step = Step((), lambda: tensor, name="literal", held=(tensor,))
        return self._add(("literal", key), step, tuple(tensor.shape))

    def apply(
        self,
        function: Function,
        inputs: Sequence[int],
        shape: tuple[int, ...],
        name: str,
        key: Hashable = None,
        held: tuple[Tensor, ...] = (),
    ) -> int:
        """``function`` of other registers; a ``key`` lets equal steps be shared."""
        full_key = None if key is None else (key, tuple(inputs), shape)
        return self._add(full_key, Step(tuple(inputs), function, name=name, held=held), shape)

    def check(self, function: Callable[..., None], inputs: Sequence[int]) -> None:
        """Runs at each solve, whether or not anything needs it: raises where the field would."""

        def checked(*tensors: Tensor) -> Tensor:
            function(*tensors)
            return torch.empty(0, device="cpu")

        self._checks.append(self._add(None, Step(tuple(inputs), checked, name="check"), (0,)))

    def reshaped(self, register: int, shape: tuple[int, ...]) -> int:
        """A register in another shape; the register itself where it has that shape."""
        if self._shapes[register] == shape:
            return register
        return self.apply(lambda x: x.reshape(shape), [register], shape, "reshape", "reshape")

    def transposed(self, register: int) -> int:
        """A matrix, transposed."""
        rows, columns = self._shapes[register]
        return self.apply(lambda x: x.mT, [register], (columns, rows), _TRANSPOSE, _TRANSPOSE)

    def assembled(self, registers: Sequence[int], index: Sequence[int], shape: tuple[int, ...]) -> int:
        """Elements of the concatenation of flattened registers, picked by ``index``."""
        picked = torch.tensor(index, device=self._device)

        def assemble(*tensors: Tensor) -> Tensor:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            return flat[picked].reshape(shape)

        return self.apply(assemble, registers, shape, "rows", ("rows", tuple(index)), (picked,))

    def finish(self, outputs: Sequence[int]) -> Prologue:
        """The Prologue with only the steps that ``outputs`` need."""
        outputs = [self._prepared(output) for output in outputs]
        needed = {*outputs, *self._checks}
        for register in reversed(range(len(self._steps))):
            if register in needed:
                needed.update(self._steps[register].inputs)
        renumber = {register: position for position, register in enumerate(sorted(needed))}
        steps = []
        for register in sorted(needed):
            step = self._steps[register]
            steps.append(replace(step, inputs=tuple(renumber[i] for i in step.inputs)))
        direct = None if any(step.function for step in steps) else tuple(self._steps[o].slot for o in outputs)
        return Prologue(tuple(steps), tuple(renumber[output] for output in outputs), direct)

    def _prepared(self, register: int) -> int:
        step = self._steps[register]
        if step.function is None and self._ready[step.slot]:
            return register
        dtype = self._dtype
        shape = self._shapes[register]
        return self.apply(lambda x: x.to(dtype).contiguous(), [register], shape, _PREPARE, _PREPARE)

    def _add(self, key: Hashable, step: Step, shape: tuple[int, ...]) -> int:
        if key is not None and key in self._known:
            return self._known[key]
        self._steps.append(step)
        self._shapes.append(shape)
        if key is not None:
            self._known[key] = len(self._steps) - 1
        return len(self._steps) - 1
