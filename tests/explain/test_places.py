"""Places written into a reason are found again, whatever stands around them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashode.capture.places import at, raised_at, source, split


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "field.py"
    path.write_text("first\n    if float(y.sum()) > 0: print('a); (b')\n")
    return str(path)


def test_a_place_is_shown_with_its_source(file: str) -> None:
    assert at((file, 1)) == f" ({file}:1: first)"
    assert at(("<gone>", 7)) == " (<gone>:7)"
    assert at(None) == ""


def test_a_reason_is_split_from_its_place(file: str) -> None:
    for place in ((file, 1), (file, 2), ("<gone>", 7)):
        reason = "aten.foo (1x2 and 3x4) is not supported (aten.foo)"
        assert split(reason + at(place)) == (reason, [place])
    assert split("it is too long") == ("it is too long", [])


def test_parentheses_in_paths_and_sources(tmp_path: Path) -> None:
    folder = tmp_path / "Program Files (x86)"
    folder.mkdir()
    path = folder / "my (old) field.py"
    path.write_text("return y  # (a: b) (c:3)\nreturn (y)\n")
    for line in (1, 2):
        place = (str(path), line)
        assert split(f"aten.foo (1x2) is not supported{at(place)}") == (
            "aten.foo (1x2) is not supported",
            [place],
        )
    assert split(f"one{at((str(path), 1))}; taken as one trajectory: two{at((str(path), 2))}") == (
        "one; taken as one trajectory: two",
        [(str(path), 1), (str(path), 2)],
    )


def test_two_reasons_have_two_places(file: str) -> None:
    first, second = (file, 1), (file, 2)
    reason = f"one{at(first)}; taken as one trajectory: two{at(second)}"
    assert split(reason) == ("one; taken as one trajectory: two", [first, second])
    assert split(f"one{at(first)}; taken as one trajectory: two{at(first)}")[1] == [first]


def test_the_innermost_line_of_the_user_s_is_where_an_error_arose() -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.nn.Linear(2, 3)(torch.ones(4, 4))
    place = raised_at(caught.value)
    assert place is not None
    assert place[0] == __file__
    assert source(place) == "torch.nn.Linear(2, 3)(torch.ones(4, 4))"
