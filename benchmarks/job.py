"""The jobs that every system gets: search spaces, what is fixed, and the configurations drawn.

Invariant: a configuration is a function of (space, seed, number), so all systems train the same.
Names and meanings are RLlib's; the peers' modules map them.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Config = dict[str, Any]

STEPS = "num_env_steps_sampled_lifetime"
RETURN = "env_runners/episode_return_mean"
SOLVED = 475.0  # CartPole-v1
ENVS = 8

FIXED: Config = {
    "num_envs_per_env_runner": ENVS,
    "train_batch_size": ENVS * 512,
    "minibatch_size": 128,
    "num_epochs": 10,
    "vf_loss_coeff": 0.5,
    "grad_clip": 0.5,
    "vf_clip_param": None,
    "use_kl_loss": False,
    "model": {"fcnet_hiddens": [64, 64], "fcnet_activation": "tanh", "vf_share_layers": False},
}

SWEEP_SPACE: Config = FIXED | {
    "lr": {"loguniform": [1e-4, 1e-2]},
    "gamma": {"uniform": [0.95, 0.999]},
    "lambda_": {"uniform": [0.9, 0.99]},
    "clip_param": {"uniform": [0.1, 0.3]},
    "entropy_coeff": {"uniform": [0.0, 0.02]},
}

# The ranges of rl-zoo3's PPO space; see `zoo_configurations`.
ZOO_SPACE: Config = FIXED | {
    "train_batch_size": {"choice": [ENVS * n for n in (32, 64, 128, 256, 512, 1024, 2048)]},
    "minibatch_size": {"choice": [32, 64, 128, 256, 512]},
    "num_epochs": {"choice": [1, 5, 10, 20]},
    "lr": {"loguniform": [1e-5, 2e-3]},
    "gamma": {"uniform": [0.97, 0.9999]},
    "lambda_": {"uniform": [0.9, 0.9999]},
    "clip_param": {"choice": [0.1, 0.2, 0.3, 0.4]},
    "entropy_coeff": {"loguniform": [1e-8, 0.1]},
    "grad_clip": {"uniform": [0.3, 2.0]},
    "model": {
        "fcnet_hiddens": {"choice": [[64], [64, 64], [256, 256]]},
        "fcnet_activation": {"choice": ["tanh", "relu"]},
        "vf_share_layers": False,
    },
}


@dataclass(frozen=True)
class Job:
    """What a system is asked to do.

    A peer trains `configs`, `concurrent` at a time. TuneRL tunes over `space`: first `configs`,
    then its own draws (the same as `configurations`) up to `num_samples`, each on `num_seeds`
    seeds. `steps`: environment steps of each agent. `alone`: the first configuration as one agent,
    without a tuner. `evaluate`: so many agents of it, trained from fresh seeds and then evaluated.
    `algorithm`: what is trained, by our name.
    """

    steps: int
    configs: tuple[Config, ...] = ()
    space: Config | None = None
    num_samples: int = 0
    num_seeds: int = 1
    env: str = "CartPole-v1"
    seed: int = 0
    concurrent: int = 2
    alone: bool = False
    evaluate: int = 0
    algorithm: str = "PPO"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def configurations(space: Config, number: int, seed: int) -> tuple[Config, ...]:
    """What TuneRL's random searcher draws as trials 0 to `number` - 1."""
    from tunerl.searchers.random import BasicVariantGenerator
    from tunerl.space import Space, from_json

    searcher = BasicVariantGenerator()
    searcher.setup(Space(from_json(space)), RETURN, "max", number, seed)
    drawn = [searcher.suggest(index, []) for index in range(number)]
    return tuple(config for config in drawn if isinstance(config, dict))


def zoo_configurations(number: int, seed: int) -> tuple[Config, ...]:
    """Draws from rl-zoo3's PPO space: 1 - gamma and 1 - lambda are log-uniform.

    A minibatch larger than the rollout is the whole rollout, as in SB3.
    """
    rng = np.random.default_rng(seed)
    drawn = configurations(ZOO_SPACE, number, seed)
    for config in drawn:
        config["gamma"] = 1.0 - float(np.exp(rng.uniform(np.log(1e-4), np.log(0.03))))
        config["lambda_"] = 1.0 - float(np.exp(rng.uniform(np.log(1e-4), np.log(0.1))))
        config["minibatch_size"] = min(config["minibatch_size"], config["train_batch_size"])
    return drawn


def flops_per_step(config: Config, inputs: int = 4, outputs: int = 2) -> float:
    """Matrix arithmetic of PPO for one environment step: acting once, then every epoch's update.

    A multiply-add counts 2; the backward pass costs twice the forward one.
    """
    widths = [inputs, *config["model"]["fcnet_hiddens"]]
    hidden = sum(a * b for a, b in itertools.pairwise(widths))
    forward = 2.0 * (2 * hidden + widths[-1] * (outputs + 1))
    return float(forward * (1 + 3 * config["num_epochs"]))
