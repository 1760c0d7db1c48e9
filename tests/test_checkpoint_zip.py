"""A checkpoint as a zip: the same bytes each time, and nothing lands elsewhere."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tunerl import checkpoints
from tunerl.errors import CorruptCheckpoint
from tunerl.trainable import State


def saved(root: str, replicas: int = 2) -> str:
    """A checkpoint of some replicas; one is larger than a piece."""
    for replica in range(replicas):
        state = State({"w": np.full(200_000 * replica, float(replica))}, {"replica": replica})
        checkpoints.save(state, checkpoints.replica_uri(root, "e", 0, 1, replica), {"m": 1})
    return checkpoints.iteration_uri(root, "e", 0, 1)


def test_the_zip_is_the_same_wherever_and_whenever(tmp_path: Path) -> None:
    one, two = saved(str(tmp_path)), saved("memory://zip")
    stream = io.BytesIO()
    sha256 = checkpoints.write_zip(one, stream)
    assert hashlib.sha256(stream.getvalue()).hexdigest() == sha256
    assert checkpoints.zip_digest(two) == (len(stream.getvalue()), sha256)
    assert b"".join(checkpoints.zip_chunks(two)) == stream.getvalue()
    assert max(map(len, checkpoints.zip_chunks(two))) < 1_200_000


def test_what_is_unpacked_can_be_loaded(tmp_path: Path) -> None:
    uri = saved(str(tmp_path))
    stream = io.BytesIO()
    checkpoints.write_zip(uri, stream)
    written = checkpoints.extract_zip(stream, tmp_path / "new" / "folder")
    assert len(written) == 6
    for replica in range(2):
        state, meta = checkpoints.load(str(tmp_path / "new" / "folder" / str(replica)))
        assert (state.values, meta) == ({"replica": replica}, {"m": 1})


def test_one_replica_is_zipped_without_a_folder(tmp_path: Path) -> None:
    uri = saved(str(tmp_path))
    stream = io.BytesIO()
    checkpoints.write_zip(f"{uri}/1", stream)
    names = zipfile.ZipFile(stream).namelist()
    assert names == ["manifest.json", "state.json", "state.safetensors"]


def test_a_corrupt_replica_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    uri = saved(str(tmp_path))
    (Path(uri) / "1" / "state.json").write_text("{}")
    stream = io.BytesIO()
    with pytest.raises(CorruptCheckpoint, match=r"1/state\.json"):
        checkpoints.write_zip(uri, stream)
    assert stream.getvalue() == b""


def test_no_checkpoint_gives_no_zip(tmp_path: Path) -> None:
    with pytest.raises(CorruptCheckpoint, match="no checkpoint"):
        checkpoints.zip_digest(str(tmp_path))


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:evil"])
def test_a_zip_that_reaches_out_is_refused(tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("good", "x")
        archive.writestr(name, "x")
    with pytest.raises(CorruptCheckpoint, match="elsewhere"):
        checkpoints.extract_zip(stream, tmp_path / "inner")
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "target")
    with pytest.raises(CorruptCheckpoint, match="link"):
        checkpoints.extract_zip(stream, tmp_path)


@pytest.mark.parametrize("damage", ["text", "cut", "flip"])
def test_a_damaged_zip_is_refused(tmp_path: Path, damage: str) -> None:
    stream = io.BytesIO()
    checkpoints.write_zip(saved("memory://damaged"), stream)
    data = bytearray(stream.getvalue())
    data[len(data) // 2] ^= 1
    damaged = {"text": b"hello", "cut": stream.getvalue()[:-50], "flip": bytes(data)}[damage]
    with pytest.raises(CorruptCheckpoint, match="zip"):
        checkpoints.extract_zip(io.BytesIO(damaged), tmp_path / "out")
    assert not (tmp_path / "out").exists()
