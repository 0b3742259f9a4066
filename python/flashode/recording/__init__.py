"""The solves of a program, and their cost."""

from flashode.recording.recorder import record, watching
from flashode.recording.report import Report, Solves

__all__ = ["Report", "Solves", "record", "watching"]
