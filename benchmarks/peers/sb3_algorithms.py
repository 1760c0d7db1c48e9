"""Stable-Baselines3's other algorithms on a pool of processes, in the peers' interpreter.

``python -m benchmarks.peers.sb3_algorithms JOB OUT``. Every hyperparameter of a configuration is
mapped or refused; none falls back to a default unseen. An algorithm adds a line to `MAPPINGS`.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from typing import Any

import stable_baselines3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
PLAIN = {
    "double_q": False,
    "dueling": False,
    "hiddens": [],
    "n_step": 1,
    "tau": 1.0,
    "prioritized_replay": False,
}
START = 0.2  # the share of the steps after which the steady state begins


class Clock(BaseCallback):  # type: ignore[misc]
    """When `share` of the steps were done, and how many they were."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after, self.mark = after, (0, 0.0)

    def _on_step(self) -> bool:
        if not self.mark[0] and self.num_timesteps >= self.after:
            self.mark = (self.num_timesteps, time.time())
        return True


def network(model: dict[str, Any]) -> dict[str, Any]:
    return {
        "net_arch": model["fcnet_hiddens"],
        "activation_fn": ACTIVATIONS[model["fcnet_activation"]],
    }


def dqn(rest: dict[str, Any]) -> dict[str, Any]:
    """SB3's arguments for a configuration of ours; takes what it maps out of `rest`."""
    model = rest.pop("model")
    if any(rest.pop(name) != value for name, value in PLAIN.items()):
        raise ValueError(f"SB3's DQN is plain: {PLAIN}")
    return {
        "learning_rate": rest.pop("lr"),
        "gamma": rest.pop("gamma"),
        "batch_size": rest.pop("train_batch_size"),
        "buffer_size": rest.pop("replay_buffer_capacity"),
        "learning_starts": rest.pop("num_steps_sampled_before_learning_starts"),
        "train_freq": rest.pop("rollout_fragment_length"),
        "target_update_interval": rest.pop("target_network_update_freq"),
        "max_grad_norm": rest.pop("grad_clip"),
        "policy_kwargs": network(model),
    }


def a2c(rest: dict[str, Any]) -> dict[str, Any]:
    model = rest.pop("model")
    return {
        "learning_rate": rest.pop("lr"),
        "n_steps": rest.pop("rollout_fragment_length"),
        "gamma": rest.pop("gamma"),
        "gae_lambda": rest.pop("lambda_"),
        "ent_coef": rest.pop("entropy_coeff"),
        "vf_coef": rest.pop("vf_loss_coeff"),
        "max_grad_norm": rest.pop("grad_clip"),
        "rms_prop_eps": rest.pop("epsilon"),
        "policy_kwargs": network(model),
    }


def sac(rest: dict[str, Any]) -> dict[str, Any]:
    return {
        "learning_rate": rest.pop("lr"),
        "batch_size": rest.pop("train_batch_size"),
        "learning_starts": rest.pop("num_steps_sampled_before_learning_starts"),
        "buffer_size": rest.pop("replay_buffer_capacity"),
        "tau": rest.pop("tau"),
        "gamma": rest.pop("gamma"),
        "policy_kwargs": network(rest.pop("model")),
    }


MAPPINGS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "DQN": dqn,
    "A2C": a2c,
    "SAC": sac,
}
"""By our name of the algorithm, which is SB3's too."""


def train(
    algorithm: str, env: str, config: dict[str, Any], steps: int, seed: int
) -> dict[str, Any]:
    rest = dict(config)
    count = rest.pop("num_envs_per_env_runner")
    mapped = MAPPINGS[algorithm](rest)
    if rest:
        raise ValueError(f"no mapping to SB3 for {sorted(rest)}")
    vector = make_vec_env(env, n_envs=count, seed=seed, vec_env_cls=DummyVecEnv)
    kind = getattr(stable_baselines3, algorithm)
    model, clock = (
        kind("MlpPolicy", vector, seed=seed, device="cpu", **mapped),
        Clock(int(START * steps)),
    )
    model.learn(steps, callback=clock)
    end = time.time()
    vector.close()
    done, moment = clock.mark
    return {
        "steps": model.num_timesteps,
        "steady_steps": model.num_timesteps - done,
        "steady_s": end - moment,
    }


def main(job_path: str, out_path: str) -> None:
    with open(job_path) as file:
        job = json.load(file)
    tasks = [
        (job["algorithm"], job["env"], config, job["steps"], job["seed"] + i)
        for i, config in enumerate(job["configs"])
    ]
    count = 1 if job["alone"] else job["concurrent"]
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, torch.set_num_threads, (1,)) as pool:
        trials = pool.starmap(train, tasks[:1] if job["alone"] else tasks, chunksize=1)
    with open(out_path, "w") as file:
        json.dump({"trials": trials}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
