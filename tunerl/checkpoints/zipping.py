"""A checkpoint as a zip for download, and safely back.

Invariant: equal checkpoints give equal bytes, so that an ETag holds; nothing is sent that has not
passed its checksums.
"""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from tunerl.checkpoints.files import ARRAYS, VALUES, verify
from tunerl.checkpoints.places import MANIFEST, Place, place
from tunerl.errors import CorruptCheckpoint

_CHUNK = 1 << 20
_FILES = sorted((ARRAYS, MANIFEST, VALUES))
_EPOCH = (1980, 1, 1, 0, 0, 0)


class _Sink(io.RawIOBase):
    """A stream that cannot seek; gives out what was written since the last `take`."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zip_chunks(uri: str) -> Iterator[bytes]:
    """The zip of a checkpoint (of an iteration with its replicas, or of one replica) in pieces.

    Raises `CorruptCheckpoint` before the first piece.
    """
    members = _members(place(uri))
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, folder, file in members:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            data = folder.read(file)
            info.file_size = len(data)
            with archive.open(info, "w") as entry:
                for start in range(0, len(data), _CHUNK):
                    entry.write(data[start : start + _CHUNK])
                    yield sink.take()
    yield sink.take()


def write_zip(uri: str, stream: IO[bytes]) -> str:
    """Write the zip of a checkpoint to `stream`; its SHA-256. Raises `CorruptCheckpoint`."""
    digest = hashlib.sha256()
    for chunk in zip_chunks(uri):
        stream.write(chunk)
        digest.update(chunk)
    return digest.hexdigest()


def zip_digest(uri: str) -> tuple[int, str]:
    """Size in bytes and SHA-256 of the zip. Raises `CorruptCheckpoint`."""
    size, digest = 0, hashlib.sha256()
    for chunk in zip_chunks(uri):
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()


def extract_zip(source: BinaryIO | Path | str, folder: Path | str) -> list[Path]:
    """Unpack a checkpoint's zip into `folder`, made if need be; the files written.

    Raises `CorruptCheckpoint` for what is no zip, for a damaged one, and for one with an entry
    that would land outside `folder` or is a link; then nothing is written.
    """
    root = Path(folder)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            paths = [root / _safe(entry) for entry in entries]
            if bad := archive.testzip():
                raise CorruptCheckpoint(f"the zip is damaged at {bad!r}; fetch it again")
            for entry, path in zip(entries, paths, strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as read, path.open("wb") as write:
                    while chunk := read.read(_CHUNK):
                        write.write(chunk)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise CorruptCheckpoint(f"this is no zip of a checkpoint: {error}") from error
    return paths


def _members(root: Place) -> list[tuple[str, Place, str]]:
    """Name in the zip, folder, file. Raises `CorruptCheckpoint`."""
    if root.has(MANIFEST):
        verify(root.uri)
        return [(file, root, file) for file in _FILES]
    replicas = sorted((name for name in root.names() if name.isdecimal()), key=int)
    if not replicas:
        raise CorruptCheckpoint(f"{root.uri} has no {MANIFEST}, nor replicas: no checkpoint")
    for replica in replicas:
        verify(root.sub(replica).uri)
    return [(f"{name}/{file}", root.sub(name), file) for name in replicas for file in _FILES]


def _safe(entry: zipfile.ZipInfo) -> str:
    name = entry.orig_filename
    path = PurePosixPath(name)
    link = stat.S_ISLNK(entry.external_attr >> 16)
    if link or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise CorruptCheckpoint(f"the zip holds {name!r}, which would land elsewhere; not unpacked")
    return name
