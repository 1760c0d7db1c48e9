"""An agent that many tests look at."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from algorithms import PPO
from tests.algorithms.agents import TINY


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """An agent of one iteration, its result and its checkpoint; not to be trained any further."""
    algorithm = PPO(TINY)
    result = algorithm.train()
    path = algorithm.save(tmp_path_factory.mktemp("trained") / "checkpoint")
    yield SimpleNamespace(algorithm=algorithm, result=result, path=path)
    algorithm.stop()
