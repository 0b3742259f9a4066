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
# What calls the user's function: frames further out are those of its caller.
_CALLING = os.path.join(os.path.dirname(__file__), "tracing", "trace.py")
# A reason ends with a place; where it gives two reasons, so does the first.
_SECOND = "; taken as one trajectory: "
_WRITTEN = re.compile(r" \((?P<file>[^\n]+?):(?P<line>\d+)(?:: [^\n]*)?\)$")


def user_line() -> Place | None:
    """The line of the user's function that is being run; None once it has returned."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _CALLING:
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
    sentences, places = [], []
    for part in reason.split(_SECOND):
        end, place = _place(part)
        sentences.append(part[:end])
        places += [] if place is None else [place]
    return _SECOND.join(sentences), list(dict.fromkeys(places))


def _place(sentence: str) -> tuple[int, Place | None]:
    """Where the place at the end of a sentence begins, and the place.

    Files, sentences and lines of source may all hold parentheses and colons: where the source can be read,
    the place is the one that ``at`` would write just so.
    """
    starts = [found.start() for found in re.finditer(r" \(", sentence)]
    written = [found for start in starts if (found := _WRITTEN.match(sentence, start))]
    if not written:
        return len(sentence), None
    read = [(found.start(), (found["file"], int(found["line"]))) for found in written]
    exact = (one for one in read if source(one[1]) and at(one[1]) == sentence[one[0] :])
    return next(exact, read[-1])


def _users(filename: str) -> bool:
    return not filename.startswith(_NOT_USERS)
