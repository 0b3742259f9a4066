"""Lines of the user's own code: finding them, writing them, reading them back from a reason."""

from __future__ import annotations

import linecache
import os
import re
import sys
import traceback
import types

import torch

Place = tuple[str, int]  # file, line

_FOLDERS = (os.path.dirname(torch.__file__), os.path.dirname(os.path.dirname(__file__)))
_NOT_USERS = (*(folder + os.sep for folder in _FOLDERS), "<frozen")
# A reason ends with a place; where it gives two reasons, so does the first.
_WRITTEN = re.compile(r" \((?P<file>[^\n()]+):(?P<line>\d+)(?:: [^\n]*?)?\)(?=$|; taken as one trajectory)")


def user_line() -> Place | None:
    """The line of the user's code that is being run."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if _users(frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def raised_at(error: BaseException) -> Place | None:
    """The innermost line of the user's code that an exception came through."""
    lines = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    return next((line for line in reversed(lines) if _users(line[0])), None)


def at(place: Place | None) -> str:
    """`` (file:line: source)``, or nothing where the place is unknown."""
    if place is None:
        return ""
    text = source(place)
    return f" ({place[0]}:{place[1]}{': ' if text else ''}{text})"


def source(place: Place) -> str:
    """The text of a line, or nothing where the file cannot be read."""
    return linecache.getline(*place).strip()


def split(reason: str) -> tuple[str, list[Place]]:
    """A reason without the places that ``at`` wrote into it, and those places."""
    places = [(found["file"], int(found["line"])) for found in _WRITTEN.finditer(reason)]
    return _WRITTEN.sub("", reason), list(dict.fromkeys(places))


def _users(filename: str) -> bool:
    return not filename.startswith(_NOT_USERS)
