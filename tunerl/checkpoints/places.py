"""Where a checkpoint's files live: a local directory, or a folder behind an fsspec URL.

Invariant: `write` makes all files appear together (locally by a rename; elsewhere the manifest,
without which a folder does not count, comes last), or leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunerl.errors import CheckpointError, StorageFull

MANIFEST = "manifest.json"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Place(ABC):
    """One folder. `uri` is its name for a person."""

    uri: str

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A file's bytes. Raises `FileNotFoundError`, `CheckpointError`."""

    @abstractmethod
    def write(self, files: Mapping[str, bytes]) -> None:
        """Replace the folder by these files; the last one is the manifest.

        Raises `StorageFull`, `CheckpointError`; then none of them is there.
        """

    @abstractmethod
    def names(self) -> list[str]:
        """What is in the folder, sorted, leftovers of interrupted writes left out."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether the folder holds a file of this name."""

    @abstractmethod
    def delete(self) -> None:
        """Remove the folder with all in it; one that is not there is no error."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the directory, if it is not there. Raises `CheckpointError`, `StorageFull`."""

    @abstractmethod
    def sub(self, name: str) -> Place:
        """The folder `name` in this one."""


def place(uri: str) -> Place:
    """The folder at a path or URL. Raises `CheckpointError` for a URL that nobody can open."""
    uri = str(uri)
    if uri.startswith("file://"):
        return Local(Path(uri.removeprefix("file://")))
    return Remote(uri.rstrip("/")) if "://" in uri else Local(Path(uri).expanduser())


class Local(Place):
    """A directory of this machine (or a mounted one)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = str(path)

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise FileNotFoundError(str(self.path / name)) from None
        except OSError as error:
            raise CheckpointError(f"cannot read {self.path / name}: {error}") from error

    def write(self, files: Mapping[str, bytes]) -> None:
        parent, target = self.path.parent, self.path
        part = parent / f".{target.name}.part-{secrets.token_hex(4)}"
        try:
            with _refusals(self.uri):
                self._sweep()
                part.mkdir(parents=True)
                for name, data in files.items():
                    write_file(part / name, data)
                _sync_directory(part)
                if target.exists():
                    self._put_aside()
                part.rename(target)
                _sync_directory(parent)
                self._sweep()
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.path) if not name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise CheckpointError(f"cannot list {self.path}: {error}") from error

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def delete(self) -> None:
        try:
            self._put_aside()
        except FileNotFoundError:
            return
        except OSError as error:
            raise CheckpointError(f"cannot delete {self.path}: {error}") from error
        self._sweep()

    def prepare(self) -> None:
        with _refusals(self.uri):
            self.path.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(f"{self.path} is not writable")

    def sub(self, name: str) -> Local:
        return Local(self.path / name)

    def _put_aside(self) -> None:
        """Take the directory away in one step, so that half of one is never seen."""
        self.path.rename(self.path.parent / f".{self.path.name}.old-{secrets.token_hex(4)}")

    def _sweep(self) -> None:
        """Remove what an interrupted write or delete of this directory has left."""
        with suppress(FileNotFoundError):
            for name in os.listdir(self.path.parent):
                if name.startswith((f".{self.path.name}.part-", f".{self.path.name}.old-")):
                    shutil.rmtree(self.path.parent / name, ignore_errors=True)


class Remote(Place):
    """A folder of an object store or of any other filesystem that fsspec knows."""

    def __init__(self, uri: str, fs: Any = None, path: str = "") -> None:
        self.uri, self.fs, self.path = uri, fs, path
        if fs is None:
            import fsspec

            try:
                self.fs, self.path = fsspec.core.url_to_fs(uri)
            except (ImportError, ValueError) as error:
                raise CheckpointError(f"no storage at {uri}: {error}") from error

    def read(self, name: str) -> bytes:
        with _refusals(self.uri, reading=True):
            data: bytes = self.fs.cat_file(f"{self.path}/{name}")
        return data

    def write(self, files: Mapping[str, bytes]) -> None:
        try:
            with _refusals(self.uri):
                self._remove()
                self.fs.makedirs(self.path, exist_ok=True)
                for name, data in files.items():
                    self.fs.pipe_file(f"{self.path}/{name}", data)
        except BaseException:
            with suppress(Exception):
                self._remove()
            raise

    def names(self) -> list[str]:
        self.fs.invalidate_cache()
        try:
            with _refusals(self.uri, reading=True):
                found = self.fs.ls(self.path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(
            name
            for path in found
            if (name := path.rstrip("/").rsplit("/", 1)[-1]) and not name.startswith(".")
        )

    def has(self, name: str) -> bool:
        self.fs.invalidate_cache()
        with _refusals(self.uri):
            return bool(self.fs.isfile(f"{self.path}/{name}"))

    def delete(self) -> None:
        with _refusals(self.uri):
            self._remove()

    def prepare(self) -> None:
        with _refusals(self.uri):
            self.fs.makedirs(self.path, exist_ok=True)

    def sub(self, name: str) -> Remote:
        return Remote(f"{self.uri}/{name}", self.fs, f"{self.path}/{name}")

    def _remove(self) -> None:
        self.fs.invalidate_cache()
        if not self.fs.exists(self.path):
            return
        manifests = [path for path in self.fs.find(self.path) if path.endswith(f"/{MANIFEST}")]
        for path in manifests:  # first, so that half of a checkpoint does not count as one
            self.fs.rm_file(path)
        self.fs.invalidate_cache()
        if self.fs.exists(self.path):
            self.fs.rm(self.path, recursive=True)


def write_file(path: Path, data: bytes) -> None:
    """Write and sync one file."""
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _refusals(uri: str, reading: bool = False) -> Iterator[None]:
    """Turn what a filesystem raises into errors of ours."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # every object store has exceptions of its own
        if reading and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise
        if isinstance(error, OSError) and error.errno in _FULL:
            raise StorageFull(
                f"no space left for the checkpoint {uri} ({error.strerror}); nothing of it "
                "remains: free some space, then resume"
            ) from error
        verb = "read" if reading else "write"
        raise CheckpointError(f"cannot {verb} the checkpoint {uri}: {error}") from error
