"""What SAC tried teaches CQL and IQL more than BC, and more than it did itself on average."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.learning import CASES, train
from tunerl.statistics import iqm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("name", ["IQL Pendulum", "CQL Pendulum"])
def test_what_was_tried_teaches_more_than_to_imitate_it(name: str) -> None:
    case = CASES[name]
    cloned = train(replace(case, algorithm="BC", config={"model": case.config["model"]}))
    found = train(case)
    assert found.data is not None
    assert iqm(found.final) > max(iqm(cloned.final), found.data[0]), (found, cloned)
