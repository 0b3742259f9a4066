"""Random Programs for hypothesis, which looks for the smallest that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from flashode.program import Program
from program_grammar import random_program


@st.composite
def random_programs(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Program:
    """Programs of up to a few dozen operations."""
    return random_program(lambda least, most: int(draw(st.integers(least, most))))
