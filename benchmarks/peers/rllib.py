"""The job through RLlib's PPO (new API stack) and Ray Tune; run by the peers' interpreter.

``python -m benchmarks.peers.rllib JOB OUT``, both JSON files; see `benchmarks.job.Job` for JOB.
Every hyperparameter of a configuration is mapped or refused; none falls back to a default unseen.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from typing import Any

import ray
import torch
from ray import tune
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.tune.search.basic_variant import BasicVariantGenerator

STEPS = "num_env_steps_sampled_lifetime"
SAMPLED = ("lr", "gamma", "lambda_", "clip_param", "entropy_coeff")


def config_of(env: str, config: dict[str, Any], seed: int) -> PPOConfig:
    """RLlib's configuration with the values of ours (the names are RLlib's already)."""
    rest = dict(config)
    model = rest.pop("model")
    envs = rest.pop("num_envs_per_env_runner")
    batch = rest.pop("train_batch_size")
    vf_loss = rest.pop("vf_loss_coeff")
    if rest.pop("vf_clip_param") is not None:
        raise ValueError("vf_clip_param limits the error in RLlib and the value in TuneRL")
    kl = rest.pop("use_kl_loss")
    training = {
        name: rest.pop(name) for name in (*SAMPLED, "minibatch_size", "num_epochs", "grad_clip")
    }
    if rest:
        raise ValueError(f"no mapping to RLlib for {sorted(rest)}")
    return (
        PPOConfig()
        .environment(env)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=envs,
            rollout_fragment_length=batch // envs,
        )
        .learners(num_learners=0)
        .training(
            train_batch_size_per_learner=batch,
            use_critic=True,
            use_gae=True,
            use_kl_loss=kl,
            kl_coeff=0.0,
            vf_loss_coeff=vf_loss,
            vf_clip_param=1e9,  # no limit
            **training,
        )
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=model["fcnet_hiddens"],
                fcnet_activation=model["fcnet_activation"],
                vf_share_layers=model["vf_share_layers"],
            )
        )
        .debugging(seed=seed, log_level="ERROR")
    )


def word(name: str) -> str:
    """How a hyperparameter is called in RLlib's dictionaries."""
    return "lambda" if name == "lambda_" else name


def sweep(job: dict[str, Any]) -> dict[str, Any]:
    """The configurations through Ray Tune, `concurrent` at a time, one CPU each."""
    configs = job["configs"]
    first = config_of(job["env"], configs[0], job["seed"])
    space = first.to_dict() | {word(name): tune.uniform(0.0, 1.0) for name in SAMPLED}
    points = [{word(name): config[name] for name in SAMPLED} for config in configs]
    begin = time.time()
    with tempfile.TemporaryDirectory() as storage:
        grid = tune.Tuner(
            "PPO",
            param_space=space,
            tune_config=tune.TuneConfig(
                num_samples=len(points),
                max_concurrent_trials=job["concurrent"],
                search_alg=BasicVariantGenerator(points_to_evaluate=points),
            ),
            run_config=tune.RunConfig(storage_path=storage, stop={STEPS: job["steps"]}, verbose=0),
        ).fit()
        span = time.time() - begin
        if grid.errors:
            raise grid.errors[0]
        trials = [trial_record(result.metrics_dataframe, result.config) for result in grid]
    for point in points:
        if point not in [trial["sampled"] for trial in trials]:
            raise RuntimeError(f"Ray Tune did not run {point}")
    return {"span": span, "trials": trials}


def trial_record(frame: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Steps and seconds of a trial; the steady part leaves out its first iteration."""
    steps, spent = frame[STEPS].tolist(), frame["time_total_s"].tolist()
    return {
        "steps": steps[-1],
        "steady_steps": steps[-1] - steps[0],
        "steady_s": spent[-1] - spent[0],
        "return": frame["env_runners/episode_return_mean"].tolist()[-1],
        "sampled": {word(name): config[word(name)] for name in SAMPLED},
    }


def alone(job: dict[str, Any]) -> dict[str, Any]:
    """One agent, no Tune: the loop of a user's script. One thread: two are slower here."""
    torch.set_num_threads(1)
    begin = time.time()
    algorithm = config_of(job["env"], job["configs"][0], job["seed"]).build_algo()
    steps: list[float] = []
    times: list[float] = []
    result: dict[str, Any] = {}
    while not steps or steps[-1] < job["steps"]:
        result = algorithm.train()
        steps.append(result[STEPS])
        times.append(time.time())
    algorithm.stop()
    trial = {
        "steps": steps[-1],
        "steady_steps": steps[-1] - steps[0],
        "steady_s": times[-1] - times[0],
        "return": result["env_runners"]["episode_return_mean"],
    }
    return {"span": time.time() - begin, "trials": [trial]}


def main(job_path: str, out_path: str) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    with open(job_path) as file:
        job = json.load(file)
    ray.init(
        num_cpus=max(job["concurrent"], 1),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    outcome = alone(job) if job["alone"] else sweep(job)
    ray.shutdown()
    with open(out_path, "w") as file:
        json.dump(outcome, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
