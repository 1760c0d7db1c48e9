"""Freed memory stays with the process."""

from __future__ import annotations

import resource
import sys

import pytest
import torch

from algorithms.core.lifting import heap


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_tensors_made_and_freed_again_and_again_ask_the_system_for_nothing() -> None:
    assert heap.keep_pages()

    def faults(rounds: int) -> int:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for _ in range(rounds):
            parts = [torch.ones(250_000) for _ in range(4)]
            assert parts[0][0] == 1.0
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    # 20 times 1,000 pages otherwise; a heap in use for long finds its places at the second try
    assert min(faults(20) for _ in range(5)) < 1_000


def test_what_the_user_set_for_the_heap_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert not heap.keep_pages.__wrapped__()
