"""BC and MARWIL learn: from an expert as much as it can, from a mixture more than the mixture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms import PPOConfig
from algorithms.core.packs.evaluation import evaluate_member
from algorithms.offline import load, record
from benchmarks.learning import CASES
from tests.support import offline
from tunerl import registry
from tunerl.statistics import iqm
from tunerl.trial import ReplicaId

SEEDS = 4
EPISODES = 100

ZOO, PENDULUM = (
    {"env": case.env, **case.config}
    for case in (CASES["PPO CartPole, as in rl-zoo3"], CASES["PPO Pendulum"])
)


def returns(
    name: str, env: str, data: str, iterations: int, episodes: int = 20, **changes: Any
) -> dict[str, Any]:
    """Mean return of each seed over so many episodes: with the likeliest actions, with sampled
    ones."""
    spec = registry.trainable(name)
    config = {"env": env, "input_": data, "evaluation_interval": None, **changes}
    pack: Any = spec.open(spec.resolve(config))
    for seed in range(SEEDS):
        pack.join(ReplicaId(seed, 0), config, seed)
    for _ in range(iterations):
        pack.step()
    found: dict[str, Any] = {}
    for how, explore in (("likeliest", False), ("sampled", True)):
        metrics = [
            evaluate_member(pack, row, seed=1000 + row, duration=episodes, explore=explore)
            for row in range(SEEDS)
        ]
        found[how] = [entry["env_runners/episode_return_mean"] for entry in metrics]
    pack.close()
    return found


def test_a_rule_of_thumb_is_imitated(tmp_path: Path) -> None:
    import gymnasium

    env = gymnasium.make("CartPole-v1")
    columns = offline.play(env, 5, offline.balance)
    path = offline.write(tmp_path / "rule.parquet", columns, offline.spaces(env))
    found = returns("BC", "CartPole-v1", path, 3, model={"fcnet_hiddens": [32]})
    assert iqm(found["likeliest"]) > 300, found


class Data:
    """What an agent of PPO recorded, `expert` and `mixed`; its mean return there, and the mean
    over the `EPISODES` that `returns` gives to each seed."""

    def __init__(self, folder: Path, config: dict[str, Any], steps: int) -> None:
        with PPOConfig().update_from_dict(config).debugging(seed=3).build() as agent:
            for _ in range(-(-steps // config["train_batch_size"])):
                agent.train()
            for kind in ("expert", "mixed"):
                record(agent, str(folder / kind), steps=15_000, kind=kind)
            pack: Any = agent._member()
            played = [
                evaluate_member(pack, 0, seed=1000 + row, duration=EPISODES) for row in range(SEEDS)
            ]
        self.evaluated = float(np.mean([e["env_runners/episode_return_mean"] for e in played]))
        self.expert, self.mixed = str(folder / "expert"), str(folder / "mixed")
        whole = load(self.expert)
        ended = (whole.terminateds | whole.truncateds)[whole.last]
        self.best = float(np.mean(whole.episode_returns()[ended]))


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(tmp_path_factory.mktemp("cartpole"), ZOO, 100_000)


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(tmp_path_factory.mktemp("pendulum"), PENDULUM, 150_000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_bc_is_as_good_as_the_expert_in_cartpole(cartpole: Data) -> None:
    assert cartpole.best >= 475
    found = returns("BC", "CartPole-v1", cartpole.expert, 10)
    assert iqm(found["likeliest"]) >= 0.95 * cartpole.best, found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_marwil_is_better_than_bc_on_mixed_steps_in_cartpole(cartpole: Data) -> None:
    """Random steps of one kind cancel out in the likeliest action, so BC finds that too; what it
    does apart from that is what everybody did, while MARWIL does what the better ones did."""
    bc = returns("BC", "CartPole-v1", cartpole.mixed, 10)
    marwil = returns("MARWIL", "CartPole-v1", cartpole.mixed, 10)
    assert iqm(marwil["likeliest"]) >= 0.95 * cartpole.best, marwil
    assert iqm(marwil["sampled"]) > 2 * iqm(bc["sampled"]), (marwil, bc)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_bc_is_as_good_as_the_expert_in_pendulum(pendulum: Data) -> None:
    assert pendulum.best >= -250
    """Episodes differ by more than 5 %, so both play many, and the same ones."""
    found = returns("BC", "Pendulum-v1", pendulum.expert, 10, EPISODES)
    assert iqm(found["likeliest"]) >= 1.05 * pendulum.evaluated, (pendulum.evaluated, found)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_marwil_is_better_than_bc_on_mixed_steps_in_pendulum(pendulum: Data) -> None:
    bc = returns("BC", "Pendulum-v1", pendulum.mixed, 10)
    marwil = returns("MARWIL", "Pendulum-v1", pendulum.mixed, 10)
    for how in ("likeliest", "sampled"):
        assert iqm(marwil[how]) > iqm(bc[how]) + 200, (how, marwil, bc)
