"""What compilers made, kept on disk for later processes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path

# Of all entries together; a kernel takes about 0.1 MB.
MAX_BYTES = 512 * 2**20
_CHECKSUM_BYTES = hashlib.sha256().digest_size
# An entry, or one that is being written: a folder that the user names may have other files.
_ENTRY = re.compile(r"[0-9a-f]{64}(\..*)?")


def key_of(*parts: str | bytes) -> str:
    """The name of what is made of some parts: other parts have another one, however they are divided."""
    whole = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        whole.update(len(content).to_bytes(8, "little"))
        whole.update(content)
    return whole.hexdigest()


def folder() -> Path | None:
    """Where entries are: ``$FLASHODE_CACHE``, or ``flashode`` in the user's cache; None without a home."""
    own = os.environ.get("FLASHODE_CACHE")
    if own:
        return Path(own)
    caches = os.environ.get("XDG_CACHE_HOME")
    if caches:
        return Path(caches, "flashode")
    try:
        return Path.home() / ".cache" / "flashode"
    except RuntimeError:
        return None


def read(key: str) -> bytes | None:
    """What was written under a key; None where nothing was, or no longer the same."""
    place = folder()
    if place is None:
        return None
    path = place / key
    try:
        entry = path.read_bytes()
    except OSError:
        return None
    checksum, content = entry[:_CHECKSUM_BYTES], entry[_CHECKSUM_BYTES:]
    if checksum != hashlib.sha256(content).digest():
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # systems rarely note that a file was read
    return content


def write(key: str, content: bytes) -> None:
    """Keeps something under a key, in place of what is there.

    A reader has the whole of it or nothing, whoever else writes. Where the disk takes nothing this does
    nothing: what cannot be kept is compiled again.
    """
    place = folder()
    if place is None:
        return
    with contextlib.suppress(OSError):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=place, prefix=f"{key}.")
        try:
            with open(descriptor, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, place / key)
        except BaseException:
            os.unlink(temporary)
            raise
        _evict(place)


def _evict(place: Path) -> None:
    """Removes entries until the rest is small enough, those that were used longest ago first."""
    entries = []
    for entry in filter(lambda entry: _ENTRY.fullmatch(entry.name), os.scandir(place)):
        with contextlib.suppress(OSError):  # another process evicts too
            status = entry.stat()
            entries.append((status.st_mtime_ns, status.st_size, entry.path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= MAX_BYTES:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
