"""A sweep whose controller dies just before or after any of its commits ends as an undisturbed one:
the same trials, decisions and results in the same order, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.crash import ends
from tests.support.sweeps import SCENARIOS

LONG = (
    *("asha-solos", "optuna-solos", "pbt-packs", "pbt-solos", "pbt-synch"),
    *("fragile-packs", "fragile-solos", "seeds-packs"),
)


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(s, marks=pytest.mark.slow) if s in LONG else s for s in SCENARIOS],
)
def test_after_a_death_at_any_commit_it_ends_like_the_undisturbed_run(
    scenario: str, tmp_path: Path
) -> None:
    undisturbed, after = ends(scenario, tmp_path)
    assert undisturbed["status"] == "COMPLETED"
    assert len(after) > 8
    exploited = [each for each in undisturbed["decisions"] if each[0] == "trial.exploited"]
    assert bool(exploited) == scenario.startswith("pbt")
    assert not any(pins for *_, pins in undisturbed["checkpoints"])
    for point, outcome in enumerate(after):
        assert outcome == undisturbed, f"after a death at point {point}"
