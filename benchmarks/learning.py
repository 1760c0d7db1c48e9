"""Learning curves: every algorithm trained in a pack of seeds, held against a published return.

``python -m benchmarks.learning [case ...]`` trains the cases (all by default), prints the table of
`docs/algorithms.md` and draws its picture. The slow tests train the same cases.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.process import ROOT, say
from benchmarks.sweep import RESULTS
from benchmarks.table import markdown, number

FOLDER = RESULTS / "learning"
PICTURE = ROOT / "docs" / "learning.png"
RETURN = "env_runners/episode_return_mean"
SAMPLED = "num_env_steps_sampled_lifetime"
UPDATES = "learners/default_policy/num_updates_lifetime"
EPISODES = 20  # of an evaluation, with the likeliest actions, where a case does not say


@dataclass(frozen=True)
class Data:
    """Steps of the agent of another case: "replay": the first it took while it learned; else those
    it was recorded with after its training, of a kind that `record` knows."""

    case: str
    kind: str
    steps: int


@dataclass(frozen=True)
class Case:
    """`least`: what the IQM over seeds has to reach after `steps` (updates, where it learns from
    `data`), `episodes` played by each; `published`: by whom, and what.

    A configuration says what differs from the algorithm's defaults.
    """

    algorithm: str
    env: str
    steps: int
    least: float
    published: str
    config: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 5
    data: Data | None = None
    episodes: int = EPISODES


def _cartpole(
    algorithm: str,
    steps: int,
    least: float,
    published: str,
    data: Data | None = None,
    **config: Any,
) -> Case:
    return Case(algorithm, "CartPole-v1", steps, least, published, config, data=data)


_EXPERT, _MIXED = (
    Data("PPO CartPole, as in rl-zoo3", kind, 15_000) for kind in ("expert", "mixed")
)
_REPLAY = Data("SAC Pendulum", "replay", 6_000)


CASES: dict[str, Case] = {
    "PPO CartPole": _cartpole(
        "PPO", 100_000, 475.0, "500, rl-zoo3", train_batch_size=1024, lr=1e-3
    ),
    "PPO CartPole, as in rl-zoo3": _cartpole(
        "PPO", 100_000, 475.0, "500, rl-zoo3",
        train_batch_size=256, minibatch_size=256, num_epochs=20, gamma=0.98, lambda_=0.8,
        lr=[[0, 1e-3], [100_000, 0.0]], clip_param=[[0, 0.2], [100_000, 0.0]],
    ),
    "PPO Pendulum": Case(
        "PPO", "Pendulum-v1", 150_000, -250.0, "-172 at 100k with gSDE, rl-zoo3",
        {
            "num_envs_per_env_runner": 4, "train_batch_size": 4096, "minibatch_size": 64,
            "gamma": 0.9, "lr": 1e-3,
        },
    ),
    "PPO Acrobot": Case(
        "PPO", "Acrobot-v1", 150_000, -100.0, "-73.5 at 1M, rl-zoo3",
        {
            "num_envs_per_env_runner": 16, "train_batch_size": 4096, "minibatch_size": 64,
            "num_epochs": 4, "lambda_": 0.94, "lr": 1e-3, "observation_filter": "MeanStdFilter",
        },
    ),
    "A2C CartPole": _cartpole("A2C", 500_000, 400.0, "500, rl-zoo3"),
    "A3C CartPole": _cartpole("A3C", 300_000, 200.0, "150 at 200k (v0), RLlib"),
    "VPG CartPole": _cartpole("VPG", 150_000, 300.0, "250 at 416k, RLlib"),
    "IMPALA CartPole": _cartpole("IMPALA", 300_000, 450.0, "450 at 2M, RLlib"),
    "IMPALA Pendulum": Case(
        "IMPALA", "Pendulum-v1", 1_000_000, -300.0, "-200 within 5M, RLlib",
        {
            "rollout_fragment_length": 8, "gamma": 0.9, "normalize_rewards": True,
            "grad_clip": 0.5, "lr": [[0, 1e-3], [1_000_000, 1e-4]],
            "entropy_coeff": [[0, 0.01], [500_000, 0.0]],
        },
    ),
    "APPO CartPole": _cartpole("APPO", 300_000, 450.0, "450 at 1M, RLlib"),
    "DQN CartPole": _cartpole("DQN", 100_000, 450.0, "500 at 50k, rl-zoo3"),
    "Rainbow CartPole": _cartpole(
        "DQN", 100_000, 450.0, "450 at 200k without atoms and noise, RLlib",
        lr=5e-4, noisy=True, num_atoms=51, v_min=0.0, v_max=100.0, prioritized_replay=True,
        prioritized_replay_beta=[[0, 0.4], [100_000, 1.0]],
    ),
    "SAC Pendulum": Case("SAC", "Pendulum-v1", 20_000, -200.0, "-157, rl-zoo3"),
    "SAC CartPole": _cartpole(
        "SAC", 100_000, 400.0, "150 (v0), RLlib",
        num_envs_per_env_runner=4, rollout_fragment_length=2, training_intensity=16.0,
        min_sample_timesteps_per_iteration=1000, train_batch_size=64, lr=1e-3, tau=0.01,
        model={"fcnet_hiddens": [64, 64]},
    ),
    "BC CartPole": _cartpole("BC", 2000, 475.0, "the expert's", data=_EXPERT),
    "MARWIL CartPole": _cartpole("MARWIL", 2000, 475.0, "the expert's", data=_MIXED),
    "BC Pendulum": Case(
        "BC", "Pendulum-v1", 2000, -211.0, "the expert's -201 less 5 %",
        data=Data("PPO Pendulum", "expert", 15_000), episodes=100,
    ),
    "IQL Pendulum": Case(
        "IQL", "Pendulum-v1", 4000, -300.0, "-200 on other data, RLlib",
        {"model": {"fcnet_hiddens": [64, 64]}}, data=_REPLAY,
    ),
    "CQL Pendulum": Case(
        "CQL", "Pendulum-v1", 4000, -876.0, "BC's on these data",
        {"model": {"fcnet_hiddens": [64, 64]}, "train_batch_size": 128, "num_actions": 4},
        seeds=3, data=_REPLAY,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """`curve`: (steps, each seed's mean return over its last 100 episodes); `final`: each seed's
    mean return afterwards, with the likeliest actions; `data`: mean and best return of the episodes
    that were learned from."""

    curve: list[tuple[int, list[float]]]
    final: list[float]
    data: tuple[float, float] | None = None


def train(case: Case) -> Run:
    """Train a case in one pack, to the iteration that reaches its steps, and evaluate."""
    from algorithms.core.packs.evaluation import evaluate_member
    from algorithms.core.packs.pack import AlgorithmPack
    from tunerl import registry
    from tunerl.trial import ReplicaId

    spec = registry.trainable(case.algorithm)
    files = {} if case.data is None else {"input_": str(recorded(case.data))}
    clock, told = (UPDATES, f"evaluation/{RETURN}") if files else (SAMPLED, RETURN)
    config = spec.resolve({"env": case.env, **files, **case.config})
    stop: dict[str, Any] = {SAMPLED: case.steps}
    if files:
        stop = {"training_iteration": case.steps / config["dataset_num_iters_per_learner"]}
    config = spec.plan(config, replicas=case.seeds, stop=stop)
    pack = spec.open(config)
    assert isinstance(pack, AlgorithmPack)
    ids = [ReplicaId(0, index) for index in range(case.seeds)]
    for id in ids:
        pack.join(id, config, id.index)
    curve: list[tuple[int, list[float]]] = []
    while not curve or curve[-1][0] < case.steps:
        reports = pack.step()
        metrics = [report for report in (reports[id] for id in ids) if isinstance(report, dict)]
        if len(metrics) < len(ids):
            raise RuntimeError(f"a replica failed: {[reports[id] for id in ids]}")
        steps = max(int(each[clock]) for each in metrics)
        curve.append((steps, [float(each[told]) for each in metrics]))
    final = [
        float(evaluate_member(pack, row, seed=1000 + row, duration=case.episodes)[RETURN])
        for row in range(len(ids))
    ]
    pack.close()
    return Run(curve, final, _returns_of(files["input_"]) if files else None)


def recorded(data: Data) -> Path:
    """The folder of these data, made where they are not there yet."""
    import algorithms
    from algorithms.offline import record

    name = data.case.replace(",", "").replace(" ", "-")
    folder, agent = (FOLDER / part / name for part in ("data", "agents"))
    folder = folder / f"{data.kind}-{data.steps}"
    case = CASES[data.case]
    if folder.exists():
        return folder

    def trained(steps: int, **more: Any) -> Any:
        config = getattr(algorithms, f"{case.algorithm}Config")()
        made = config.update_from_dict({"env": case.env, **case.config, **more})
        built = made.debugging(seed=3).build_algo()
        while built.train()[SAMPLED] < steps:
            pass
        return built

    made = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(made, ignore_errors=True)
    if data.kind == "replay":
        trained(data.steps, output=str(made)).stop()
    else:
        if not agent.exists():
            with trained(case.steps) as expert:
                expert.save(str(agent))
        record(str(agent), str(made), steps=data.steps, kind=data.kind)
    return made.rename(folder)


def _returns_of(files: str) -> tuple[float, float]:
    """Mean and best return of the episodes that are whole."""
    from algorithms.offline import load

    data = load(files)
    whole = (data.terminateds | data.truncateds)[data.last]
    returns = data.episode_returns()[whole]
    return float(returns.mean()), float(returns.max())


def row(name: str, case: Case, run: Run) -> list[str]:
    from tunerl.statistics import iqm

    reached = iqm(run.final)
    return [
        name,
        number(case.steps) + " updates" * (case.data is not None),
        number(reached, 1),
        ", ".join(number(value) for value in sorted(run.final)),
        number(case.least),
        case.published if run.data is None else "data: {:.0f}, best {:.0f}".format(*run.data),
    ]


def draw(runs: Mapping[str, Run], path: Path) -> None:
    """One small picture a case: every seed's curve, their mean, and what has to be reached."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 4
    height = math.ceil(len(runs) / columns)
    figure, axes = pyplot.subplots(height, columns, figsize=(13, 2.6 * height), squeeze=False)
    for axis in axes.flat[len(runs) :]:
        axis.set_visible(False)
    for axis, (name, run) in zip(axes.flat, runs.items(), strict=False):
        unit = "updates" if CASES[name].data else "thousand steps"
        steps = [point[0] / (1 if CASES[name].data else 1000) for point in run.curve]
        for seed in zip(*(point[1] for point in run.curve), strict=True):
            axis.plot(steps, seed, color="#7aa6d8", linewidth=0.7, alpha=0.8)
        mean = [sum(point[1]) / len(point[1]) for point in run.curve]
        axis.plot(steps, mean, color="#1b4f8f", linewidth=1.6)
        axis.axhline(CASES[name].least, color="#c2553a", linewidth=1, linestyle="--")
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        if run.data is not None:
            axis.axhline(run.data[0], color="#888888", linewidth=1, linestyle=":")
        axis.set_xlabel(unit, fontsize=7)
        axis.grid(alpha=0.25)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def stored() -> Iterator[tuple[str, Run]]:
    """What has been run so far, in the order of the cases."""
    for name in CASES:
        path = FOLDER / f"{name}.json"
        if path.exists():
            found = json.loads(path.read_text())
            curve = [(steps, each) for steps, each in found["curve"]]
            yield name, Run(curve, found["final"], found.get("data"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)}")
    parser.add_argument(
        "--draw", action="store_true", help="only table and picture of what is there"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in [] if options.draw else options.cases or CASES:
        say(f"{name}: {CASES[name].steps:,} steps x {CASES[name].seeds} seeds")
        run = train(CASES[name])
        (FOLDER / f"{name}.json").write_text(json.dumps(asdict(run)))
        say(" | ".join(row(name, CASES[name], run)))
    runs = dict(stored())
    draw(runs, PICTURE)
    head = ["case", "steps", "IQM", "each seed", "to reach", "published"]
    print(markdown(head, [row(name, CASES[name], run) for name, run in runs.items()]), end="\n\n")
    print(
        f"Machine: {machine.describe()}. Each seed's mean return over {EPISODES} episodes with "
        "the likeliest actions, after training; dashed in the picture: what has to be reached, "
        "dotted: the mean return of the data."
    )


if __name__ == "__main__":
    main()
