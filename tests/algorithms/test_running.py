"""Running statistics against numpy over all the data, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.core.maths.running import RunningStats


def filled(data: np.ndarray) -> RunningStats:
    """Statistics of `[T, K, E, D]`, taken in step by step."""
    stats = RunningStats(data.shape[-1])
    for _ in range(data.shape[1]):
        stats.add()
    for samples in data:
        stats.update(samples)
    return stats


@pytest.fixture
def data() -> np.ndarray:
    return np.random.default_rng(0).normal(3.0, 5.0, (20, 3, 4, 2)) * [1.0, 1000.0]


def test_mean_and_deviation_are_those_of_all_data(data: np.ndarray) -> None:
    stats = filled(data)
    by_row = data.transpose(1, 0, 2, 3).reshape(3, 80, 2)
    np.testing.assert_allclose(stats.mean, by_row.mean(1), rtol=1e-12)
    np.testing.assert_allclose(stats.std, by_row.std(1), rtol=1e-9)
    assert stats.count.tolist() == [[80.0]] * 3


def test_a_small_deviation_on_a_large_mean_is_not_lost() -> None:
    data = 1e6 + np.random.default_rng(0).normal(size=(50, 1, 2, 1))
    np.testing.assert_allclose(filled(data).std[0], data.std(), rtol=1e-6)


@pytest.mark.parametrize(("rows", "envs", "size"), [(2, 1, 1), (16, 3, 1), (5, 8, 3), (9, 20, 5)])
def test_a_row_has_the_same_bits_alone_and_among_others(rows: int, envs: int, size: int) -> None:
    data = np.random.default_rng(1).normal(size=(7, rows, envs, size))
    together = filled(data)
    for row in range(rows):
        alone = filled(data[:, row : row + 1])
        for mine, ours in zip(alone.read(0), together.read(row), strict=True):
            assert np.array_equal(mine, ours)
        last = data[-1]
        expected = alone.normalize(last[row : row + 1])[0]
        assert np.array_equal(together.normalize(last)[row], expected)
        assert np.array_equal(together.normalize_row(row, last[row]), expected)


def test_normalised_data_has_mean_zero_and_deviation_one_and_is_clipped(data: np.ndarray) -> None:
    stats = filled(data)
    normal = np.stack([stats.normalize(samples) for samples in data])
    assert normal.dtype == np.float32
    np.testing.assert_allclose(normal.mean((0, 2)), 0.0, atol=1e-6)
    np.testing.assert_allclose(normal.std((0, 2)), 1.0, rtol=1e-4)
    far = np.full((3, 4, 2), 1e9)
    assert (stats.normalize(far) == 10.0).all()
    assert (stats.normalize(-far, clip=5.0) == -5.0).all()


def test_before_two_samples_the_deviation_is_one() -> None:
    stats = RunningStats(2)
    stats.add()
    np.testing.assert_allclose(stats.std, 1.0)
    stats.update(np.array([[[4.0, 7.0]]]))
    np.testing.assert_allclose(stats.std, 1.0)
    assert stats.mean.tolist() == [[4.0, 7.0]]


def test_rows_come_and_go_and_carry_their_numbers_along(data: np.ndarray) -> None:
    stats = filled(data)
    first, last = stats.read(0), stats.read(2)
    stats.remove(1)
    for mine, kept in zip(stats.read(1), last, strict=True):
        assert np.array_equal(mine, kept)
    stats.add(first)
    stats.write(1, first)
    for row in (0, 1, 2):
        for mine, kept in zip(stats.read(row), first, strict=True):
            assert np.array_equal(mine, kept)
    first[0][:] = -1.0  # what was read is a copy
    assert (stats.mean[0] != -1.0).all()
