"""Tunes PPO on CartPole-v1 from Python, and plays with the best agent.

python examples/tune_ppo.py                # 64 configurations on 4 seeds, 100,000 steps each
python examples/tune_ppo.py --samples 4 --seeds 2 --steps 10000
"""

from __future__ import annotations

import argparse

from algorithms import Algorithm, PPOConfig
from tunerl import ASHAScheduler, ResultGrid, RunConfig, TuneConfig, Tuner, loguniform, uniform


def tune(samples: int, seeds: int, steps: int) -> ResultGrid:
    """One sweep; the worst are stopped early."""
    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_envs_per_env_runner=8)
        .training(lr=loguniform(1e-5, 1e-2), gamma=uniform(0.9, 0.999))
    )
    return Tuner(
        "PPO",
        param_space=config,
        tune_config=TuneConfig(
            metric="env_runners/episode_return_mean",
            mode="max",
            num_samples=samples,
            num_seeds=seeds,
            scheduler=ASHAScheduler(),
        ),
        run_config=RunConfig(name="cartpole", stop={"num_env_steps_sampled_lifetime": steps}),
    ).fit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=64, help="configurations")
    parser.add_argument("--seeds", type=int, default=4, help="replicas of each")
    parser.add_argument("--steps", type=int, default=100_000, help="environment steps of each")
    options = parser.parse_args()
    results = tune(options.samples, options.seeds, options.steps)
    best = results.get_best_result()
    print(f"best: trial {best.trial} with {best.config}")
    print(f"over its seeds: {best.statistics}")
    print(results.get_dataframe()[["trial", "status", "config/lr", "config/gamma"]])
    with Algorithm.from_checkpoint(best.checkpoint) as agent:
        played = agent.evaluate(duration=20, seed=1)["env_runners"]
    print(f"mean return of 20 fresh episodes: {played['episode_return_mean']:.1f}")


if __name__ == "__main__":
    main()
