"""What the made-up API tells of the inside of its experiments."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from tests.dashboard.fake import METRIC, World, make_trial

KINDS = ("incumbent", "importance", "pareto", "ranking", "policy", "rungs")
COST = "time_total_s"


def add_inside(app: FastAPI, world: World) -> None:
    """Routes that give `world.inside[(experiment, kind)]`; an error where that is a sentence."""

    @app.post("/api/v1/experiments/{id}:{verb}", status_code=201)
    def make(id: str, verb: str) -> Any:
        if world.experiments[id]["metric"] is None:
            return _refusal("it has no objective")
        kind = {"baseline": "baseline", "confirm": "confirm"}[verb]
        origin = {"kind": kind, "experiment": id, "trials": [1, 2]}
        return world.add(f"{id}-{verb}", [], status="PENDING", origin=origin)

    @app.get("/api/v1/experiments/{id}/trials/{number}/policy")
    def trial_policy(id: str, number: int) -> Any:
        return world.inside.get((id, f"policy of {number}"), [])

    @app.get("/api/v1/experiments/{id}/{kind}")
    def inside(id: str, kind: str, evaluator: str = "") -> Any:
        found = world.inside[id, evaluator if evaluator == "fanova" else kind]
        return _refusal(found) if isinstance(found, str) else found


def _refusal(detail: str) -> JSONResponse:
    body = {"type": "x", "title": "x", "status": 422, "detail": detail, "errors": []}
    return JSONResponse(body, 422, media_type="application/problem+json")


def add_evidence(world: World, id: str = "sweep") -> None:
    """A finished baseline and a finished confirmation of an experiment, and its importances."""
    world.inside[id, "incumbent"] = incumbent(100, 480.0, spread=12.0)
    origin = {"experiment": id, "trials": [1, 2]}
    world.add(f"{id}-random", [make_trial(0)], origin={"kind": "baseline", **origin})
    world.inside[f"{id}-random", "incumbent"] = incumbent(110, 420.0)
    world.add(f"{id}-confirm", [make_trial(1)], origin={"kind": "confirm", **origin})
    world.inside[f"{id}-confirm", "ranking"] = [leader(1, 7, 455.0, 470.0), leader(2, 3, 440, 490)]
    world.inside[id, "importance"] = importances(0.6, 0.3, 0.1)
    world.inside[id, "fanova"] = "5 trials have ended; importance takes at least 10"


def incumbent(steps: int, best: float, spread: float | None = None) -> dict[str, Any]:
    values = [best * share for share in (0.1, 0.5, 1.0)]
    return {
        "metric": METRIC, "mode": "max", "unit": "steps", "spent": steps * 1000,
        "improvements": [
            {"spent": (place + 1) * steps * 250, "value": value, "trial": place, "iteration": 3,
             "low": value - spread if spread else None, "high": value + spread if spread else None}
            for place, value in enumerate(values)
        ],
    }  # fmt: skip


def leader(rank: int, trial: int, iqm: float, tuned: float) -> dict[str, Any]:
    return {
        "rank": rank, "trial": trial, "config": {"lr": 0.001 * trial, "gamma": 0.99},
        "tuned": tuned, "values": [iqm - 5, iqm, iqm + 5, None], "iqm": iqm, "low": iqm - 9,
        "high": iqm + 9, "improvement": 0.75 if rank == 1 else None,
        "improvement_low": 0.5 if rank == 1 else None,
        "improvement_high": 0.9 if rank == 1 else None,
    }  # fmt: skip


def importances(*shares: float) -> list[dict[str, Any]]:
    names = ("lr", "gamma", "clip_param")
    return [
        {"parameter": name, "importance": share, "low": share / 2, "high": share * 1.2}
        for name, share in zip(names, shares, strict=True)
    ]


def add_objectives(world: World, trials: int, members: list[int]) -> None:
    """``two``: several objectives, with a front of these trials."""
    spec = {"trainable": "PPO", "param_space": {}, "more_objectives": {COST: "min"}}
    world.add("two", [make_trial(number) for number in range(trials)], spec=spec)
    points = [{"trial": number, "config": {}, "values": {}} for number in members]
    world.inside["two", "pareto"] = {"objectives": {METRIC: "max", COST: "min"}, "points": points}


def add_population(world: World, trials: int, exploits: int) -> None:
    """``pbt``: trials that take over from one another."""
    spec = {"trainable": "PPO", "param_space": {"lr": {"loguniform": [1e-5, 1e-2]}},
            "scheduler": {"type": "pbt"}}  # fmt: skip
    world.add("pbt", [make_trial(number) for number in range(trials)], spec=spec)
    world.inside["pbt", "policy"] = [
        {"target": n % trials, "source": (n * 7 + 1) % trials, "iteration": 4 + n * 20 // exploits,
         "source_iteration": 5 + n * 20 // exploits, "created_at": "2026-11-20T10:01:00Z",
         "mutations": {"lr": [1e-3, 1.2e-3]}}
        for n in range(exploits)
    ]  # fmt: skip
    steps = [(0, 1e-3), (5, 1.2e-3), (9, 0.9e-3)]
    world.inside["pbt", "policy of 2"] = [
        {"iteration": at, "config": {"lr": lr, "gamma": 0.99}} for at, lr in steps
    ]


def add_rungs(world: World) -> None:
    """``halved``: ASHA with one bracket."""
    spec = {"trainable": "PPO", "param_space": {}, "scheduler": {"type": "asha"}}
    world.add("halved", [make_trial(number) for number in range(9)], spec=spec)
    words = "had 21.5 at 8, where 40 was needed against 5 others"
    stopped = {"trial": 1, "time": 8.0, "value": 21.5, "needed": 40.0, "rivals": 5, "bracket": 0}
    rung = {"time": 8.0, "reached": 9, "stopped": 1, "waiting": 0, "needed": 40.0}
    last = {"time": 24.0, "reached": 5, "stopped": 0, "waiting": 2, "needed": None}
    world.inside["halved", "rungs"] = {
        "scheduler": "asha", "time_attr": "training_iteration",
        "brackets": [{"number": 0, "trials": 9, "rungs": [rung, last]}],
        "stopped": [{**stopped, "message": words}],
    }  # fmt: skip
    world.events.append(
        {"id": 1, "kind": "trial.stopped", "trial": 1, "message": words, "data": stopped,
         "created_at": "2026-11-20T10:01:00Z"}
    )  # fmt: skip
