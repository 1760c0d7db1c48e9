"""A checkpoint is there as a whole with the bytes that were written, or it is not there."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tunerl import checkpoints
from tunerl.checkpoints import places
from tunerl.errors import CheckpointError, CorruptCheckpoint, StorageFull
from tunerl.trainable import State

FILES = ["manifest.json", "state.json", "state.safetensors"]


@pytest.fixture(params=["path", "file", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A storage root: a directory, its URL, or an object store's."""
    roots = {"path": str(tmp_path), "file": f"file://{tmp_path}"}
    return roots.get(request.param, f"memory://{secrets.token_hex(6)}")


def example(seed: int = 0) -> State:
    rng = np.random.default_rng(seed)
    arrays = {"w": rng.normal(size=(3, 4)), "step": np.array(7), "none": np.zeros((0, 2), "f4")}
    return State(arrays, {"generator": rng.bit_generator.state, "nan": math.nan})


def equal(left: State, right: State) -> bool:
    """Bit for bit, with the same names in the same order."""
    return (
        list(left.arrays) == list(right.arrays)
        and repr(left.values) == repr(right.values)
        and all(
            one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
            for one, other in zip(left.arrays.values(), right.arrays.values(), strict=True)
        )
    )


def leftovers(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_state_comes_back_bit_for_bit(root: str) -> None:
    uri = checkpoints.replica_uri(root, "e", 3, 12, 0)
    assert uri == f"{root}/e/00003/checkpoint_000012/0"
    state = example()
    saved = checkpoints.save(state, uri, {"config": {"lr": math.inf}, "iteration": 12})
    loaded, meta = checkpoints.load(uri)
    assert equal(loaded, state)
    assert meta == {"config": {"lr": math.inf}, "iteration": 12}
    assert checkpoints.verify(uri) == saved
    loaded.arrays["w"] += 1  # nobody else's memory


def test_a_generator_goes_on_where_it_was(root: str) -> None:
    rng = np.random.default_rng(5)
    checkpoints.save(State({}, {"rng": rng.bit_generator.state}), f"{root}/c", {})
    other = np.random.default_rng(0)
    other.bit_generator.state = checkpoints.load(f"{root}/c")[0].values["rng"]
    assert other.random() == rng.random()


DTYPES = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="?")
    | hnp.unsigned_integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | hnp.complex_number_dtypes(endianness="?", sizes=(64, 128))
    | hnp.unicode_string_dtypes(max_len=4)
    | hnp.byte_string_dtypes(max_len=4)
    | hnp.datetime64_dtypes()
    | st.just(np.dtype([("x", "<i4"), ("y", ">f8", (2,))]))
)
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
)


@settings(max_examples=150, deadline=None)
@given(arrays=st.dictionaries(st.text(), ARRAYS, max_size=4))
def test_arrays_of_every_type_and_shape_come_back(arrays: dict[str, Any]) -> None:
    checkpoints.save(State(arrays), "memory://any", {})
    assert equal(checkpoints.load("memory://any")[0], State(arrays))


def test_arrays_in_other_memory_orders_keep_their_values(tmp_path: Path) -> None:
    base = np.arange(24).reshape(4, 6)
    arrays = {"T": base.T, "step": base[::2, ::-1], "f": np.asfortranarray(base), "0": base[1, 2]}
    checkpoints.save(State(arrays), f"{tmp_path}/c", {})
    loaded = checkpoints.load(f"{tmp_path}/c")[0].arrays
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)


@pytest.mark.parametrize(
    "state",
    [
        State({"a": np.array([object()])}),
        State({}, {"f": lambda: 1}),
        State({"__metadata__": np.zeros(1)}),
    ],
)
def test_a_state_that_cannot_be_written_is_refused_and_leaves_nothing(
    tmp_path: Path, state: State
) -> None:
    with pytest.raises(CheckpointError):
        checkpoints.save(state, f"{tmp_path}/c", {})
    assert leftovers(tmp_path) == []


def test_saving_again_replaces_and_leaves_no_other_file(root: str, tmp_path: Path) -> None:
    uri = f"{root}/c"
    checkpoints.save(example(1), uri, {"n": 1})
    checkpoints.save(example(2), uri, {"n": 2})
    state, meta = checkpoints.load(uri)
    assert equal(state, example(2))
    assert meta == {"n": 2}
    if not root.startswith("memory"):
        assert leftovers(tmp_path) == [f"c/{name}" for name in FILES]


def test_equal_states_give_equal_bytes(root: str) -> None:
    one = checkpoints.save(example(), f"{root}/one", {"m": 1})
    assert checkpoints.save(example(), f"{root}/two", {"m": 1}) == one
    assert checkpoints.save(example(1), f"{root}/three", {"m": 1}) != one


def flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "first byte": lambda data: flip(data, 0),
    "middle byte": lambda data: flip(data, len(data) // 2),
    "last byte": lambda data: flip(data, len(data) - 1),
    "truncated": lambda data: data[:-1],
    "empty": lambda data: b"",
    "longer": lambda data: data + b" ",
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_the_file_named(tmp_path: Path, file: str, damage: str) -> None:
    path = tmp_path / "c"
    checkpoints.save(example(), str(path), {})
    (path / file).write_bytes(DAMAGES[damage]((path / file).read_bytes()))
    for use in (checkpoints.load, checkpoints.verify, checkpoints.zip_digest):
        with pytest.raises(CorruptCheckpoint, match=file):
            use(str(path))


def test_no_byte_can_change_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "c"
    checkpoints.save(State({"a": np.zeros(2)}, {"x": 1}), str(path), {})
    for file in FILES:
        whole = (path / file).read_bytes()
        for position in range(len(whole)):
            (path / file).write_bytes(flip(whole, position))
            with pytest.raises(CorruptCheckpoint):
                checkpoints.load(str(path))
        (path / file).write_bytes(whole)
    checkpoints.load(str(path))


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(root: str, file: str) -> None:
    checkpoints.save(example(), f"{root}/c", {})
    fs, path = fsspec.core.url_to_fs(f"{root}/c")
    fs.rm_file(f"{path}/{file}")
    expected = "never finished" if file == "manifest.json" else "missing; expected [0-9]+ bytes"
    with pytest.raises(CorruptCheckpoint, match=rf"{file}.*{expected}|{expected}"):
        checkpoints.load(f"{root}/c")


def test_what_was_never_there_is_no_checkpoint(root: str) -> None:
    with pytest.raises(CorruptCheckpoint, match=r"no manifest\.json"):
        checkpoints.load(f"{root}/nowhere")
    assert checkpoints.list_iterations(f"{root}/nowhere") == []
    assert checkpoints.latest_good(f"{root}/nowhere", 0) is None
    checkpoints.delete(f"{root}/nowhere")


def test_a_later_format_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunerl.checkpoints.files.FORMAT", 2)
    checkpoints.save(example(), f"{tmp_path}/c", {})
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="format 2"):
        checkpoints.load(f"{tmp_path}/c")


def test_an_unknown_kind_of_storage_is_refused() -> None:
    with pytest.raises(CheckpointError, match="nosuch"):
        checkpoints.save(example(), "nosuch://bucket/c", {})


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("before", [False, True])
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, at: int, before: bool
) -> None:
    uri = str(tmp_path / "trial" / "c")
    if before:
        checkpoints.save(example(1), uri, {})
    real = places.write_file
    written: list[Path] = []

    def full(path: Path, data: bytes) -> None:
        if len(written) == at:
            path.write_bytes(data[: len(data) // 2])
            raise OSError(code, os.strerror(code))
        written.append(path)
        real(path, data)

    monkeypatch.setattr(places, "write_file", full)
    with pytest.raises(StorageFull, match="no space left"):
        checkpoints.save(example(2), uri, {})
    assert leftovers(tmp_path) == ([f"trial/c/{name}" for name in FILES] if before else [])
    if before:
        assert equal(checkpoints.load(uri)[0], example(1))


def test_a_full_object_store_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    real = MemoryFileSystem.pipe_file

    def full(self: Any, path: str, value: bytes, **kw: Any) -> None:
        if path.endswith("manifest.json"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, path, value, **kw)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", full)
    with pytest.raises(StorageFull):
        checkpoints.save(example(), "memory://full/c", {})
    assert not fsspec.filesystem("memory").exists("/full/c")


def test_a_real_limit_of_the_system_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import resource, sys, numpy as np\n"
        "from tunerl import checkpoints\n"
        "from tunerl.errors import StorageFull\n"
        "from tunerl.trainable import State\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    checkpoints.save(State({'a': np.zeros(100_000)}), sys.argv[1], {})\n"
        "except StorageFull as error:\n"
        "    sys.exit(7)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "c")], check=False)
    assert done.returncode == 7
    assert leftovers(tmp_path) == []


def test_storage_that_refuses_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write"):
        checkpoints.save(example(), f"{tmp_path}/file/c", {})


def test_what_an_interrupted_save_left_is_ignored_and_then_swept(tmp_path: Path) -> None:
    checkpoints.save(example(), checkpoints.replica_uri(str(tmp_path), "e", 0, 1, 0), {})
    part = tmp_path / "e/00000/checkpoint_000002/.0.part-abcd"
    part.mkdir(parents=True)
    (part / "state.json").write_text("{")
    trial = checkpoints.trial_uri(str(tmp_path), "e", 0)
    assert checkpoints.list_iterations(trial) == [1]
    checkpoints.save(example(), checkpoints.replica_uri(str(tmp_path), "e", 0, 2, 0), {})
    assert checkpoints.list_iterations(trial) == [1, 2]
    assert not part.exists()


def test_iterations_count_when_all_replicas_are_finished(root: str) -> None:
    trial = checkpoints.trial_uri(root, "e", 7)
    for iteration, replicas in {9: [0, 1], 10: [0], 1_000_000: [0, 1], 2: [1]}.items():
        for replica in replicas:
            checkpoints.save(
                example(), checkpoints.replica_uri(root, "e", 7, iteration, replica), {}
            )
    assert checkpoints.list_iterations(trial) == [9, 1_000_000]
    assert checkpoints.list_iterations(trial, replicas=1) == [9, 10, 1_000_000]
    assert checkpoints.list_iterations(trial, replicas=3) == []
    checkpoints.delete(checkpoints.iteration_uri(root, "e", 7, 9))
    assert checkpoints.list_iterations(trial) == [1_000_000]
    checkpoints.delete(trial)
    assert checkpoints.list_iterations(trial) == []


def test_the_latest_good_checkpoint_passes_over_corrupt_ones(root: str) -> None:
    trial = checkpoints.trial_uri(root, "e", 0)
    uris = {n: checkpoints.replica_uri(root, "e", 0, n, 1) for n in (1, 2, 3)}
    for uri in uris.values():
        checkpoints.save(example(), uri, {})
    fs, path = fsspec.core.url_to_fs(uris[3])
    fs.pipe_file(f"{path}/state.safetensors", b"broken")
    assert checkpoints.latest_good(trial, 1) == uris[2]
    assert checkpoints.latest_good(trial, 1, at_most=1) == uris[1]
    assert checkpoints.latest_good(trial, 0) is None
    assert checkpoints.latest_good(trial, 1, at_most=0) is None


def test_the_manifest_names_size_and_sum_of_each_file(tmp_path: Path) -> None:
    saved = checkpoints.save(example(), f"{tmp_path}/c", {})
    manifest = json.loads((tmp_path / "c/manifest.json").read_bytes())
    sizes = {name: entry["size"] for name, entry in manifest["files"].items()}
    assert sizes == {name: (tmp_path / "c" / name).stat().st_size for name in FILES[1:]}
    assert saved.size == sum((tmp_path / "c" / name).stat().st_size for name in FILES)
