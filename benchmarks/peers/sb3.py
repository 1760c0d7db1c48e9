"""The job through Stable-Baselines3's PPO on a pool of processes; run by the peers' interpreter.

``python -m benchmarks.peers.sb3 JOB OUT``, both JSON files; see `benchmarks.job.Job` for JOB.
Every hyperparameter of a configuration is mapped or refused; none falls back to a default unseen.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


class Clock(BaseCallback):  # type: ignore[misc]
    """When each rollout began and how many steps there were by then."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[tuple[int, float]] = []

    def _on_rollout_start(self) -> None:
        self.marks.append((self.num_timesteps, time.time()))

    def _on_step(self) -> bool:
        return True


def arguments(config: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """(number of environments, arguments of SB3's PPO) with the values of ours."""
    rest = dict(config)
    envs, batch = rest.pop("num_envs_per_env_runner"), rest.pop("train_batch_size")
    model = dict(rest.pop("model"))
    layers, activation = model.pop("fcnet_hiddens"), ACTIVATIONS[model.pop("fcnet_activation")]
    if rest.pop("use_kl_loss") or model.pop("vf_share_layers"):
        raise ValueError("no mapping to SB3 for a KL penalty or shared layers")
    mapped = {
        "n_steps": batch // envs,
        "batch_size": rest.pop("minibatch_size"),
        "n_epochs": rest.pop("num_epochs"),
        "learning_rate": rest.pop("lr"),
        "gamma": rest.pop("gamma"),
        "gae_lambda": rest.pop("lambda_"),
        "clip_range": rest.pop("clip_param"),
        "clip_range_vf": rest.pop("vf_clip_param"),
        "ent_coef": rest.pop("entropy_coeff"),
        "vf_coef": rest.pop("vf_loss_coeff"),
        "max_grad_norm": rest.pop("grad_clip"),
        "policy_kwargs": {
            "net_arch": {"pi": layers, "vf": layers},
            "activation_fn": activation,
        },
    }
    if rest or model:
        raise ValueError(f"no mapping to SB3 for {sorted([*rest, *model])}")
    return envs, mapped


def train(env: str, config: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
    """One trial. The steady part leaves out its first iteration."""
    count, mapped = arguments(config)
    begin = time.time()
    vector = make_vec_env(env, n_envs=count, seed=seed, vec_env_cls=DummyVecEnv)
    model, clock = PPO("MlpPolicy", vector, seed=seed, device="cpu", **mapped), Clock()
    model.learn(steps, callback=clock)
    end = time.time()
    vector.close()
    first_steps, first_time = clock.marks[min(1, len(clock.marks) - 1)]
    returns = [episode["r"] for episode in model.ep_info_buffer or ()]
    return {
        "steps": model.num_timesteps,
        "steady_steps": model.num_timesteps - first_steps,
        "steady_s": end - first_time,
        "began": begin,
        "ended": end,
        "return": sum(returns) / max(len(returns), 1),
    }


def main(job_path: str, out_path: str) -> None:
    with open(job_path) as file:
        job = json.load(file)
    tasks = [(job["env"], c, job["steps"], job["seed"] + i) for i, c in enumerate(job["configs"])]
    if job["alone"]:
        torch.set_num_threads(1)
        trials = [train(*tasks[0])]
    else:
        context = multiprocessing.get_context("spawn")
        with context.Pool(job["concurrent"], torch.set_num_threads, (1,)) as pool:
            trials = pool.starmap(train, tasks, chunksize=1)
    span = max(trial["ended"] for trial in trials) - min(trial["began"] for trial in trials)
    with open(out_path, "w") as file:
        json.dump({"span": span, "trials": trials}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
