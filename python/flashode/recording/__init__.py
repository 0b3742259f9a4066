"""What solves a program makes and what they cost."""

from flashode.recording.recorder import record, watching
from flashode.recording.report import Report, Solves

__all__ = ["Report", "Solves", "record", "watching"]
