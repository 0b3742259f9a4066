"""Lines of the user's code, as reasons name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashode.capture.places import raised_at
from flashode.declined import Reason, at, source


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "field.py"
    path.write_text("first\n    if float(y.sum()) > 0: print('a); (b')\n")
    return str(path)


def test_a_place_is_shown_with_its_source(file: str) -> None:
    assert at((file, 1)) == f" ({file}:1: first)"
    assert at(("<gone>", 7)) == " (<gone>:7)"
    assert at(None) == ""


def test_a_reason_says_what_where_and_what_to_write_instead(file: str) -> None:
    reason = Reason("it draws random numbers", "call eval()", (file, 1), "net.1 Dropout")
    assert str(reason) == f"it draws random numbers in net.1 Dropout: call eval() ({file}:1: first)"
    assert str(Reason("the state is empty")) == "the state is empty"


def test_the_innermost_line_of_the_user_s_is_where_an_error_arose() -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.nn.Linear(2, 3)(torch.ones(4, 4))
    place = raised_at(caught.value)
    assert place is not None
    assert place[0] == __file__
    assert source(place) == "torch.nn.Linear(2, 3)(torch.ones(4, 4))"
