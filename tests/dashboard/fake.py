"""A made-up API with the shapes of docs/architecture.md, behind the real dashboard routes.

Invariant: deterministic; what a test wants different it changes in `World`, also while it looks.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from service.routes import dashboard

METRIC = "env_runners/episode_return_mean"
LOSS = "learners/default_policy/policy_loss"
STEPS = 4096
ITERATIONS = 24
SPACE = {
    "env": "CartPole-v1",
    "lr": {"loguniform": [1e-5, 1e-2]},
    "gamma": {"uniform": [0.9, 0.999]},
    "clip_param": {"uniform": [0.1, 0.4]},
    "entropy_coeff": {"loguniform": [1e-5, 1e-1]},
    "model": {"fcnet_activation": {"choice": ["tanh", "relu"]}},
    "num_epochs": {"choice": [5, 10, 20]},
}
TRACEBACK = (
    "ValueError: loss is not finite\nTraceback (most recent call last):\n"
    '  File "ppo.py", line 210, in update\n    raise ValueError("loss is not finite")\n'
    "ValueError: loss is not finite\n"
)


def make_trial(number: int, seeds: int = 4, status: str = "TERMINATED") -> dict[str, Any]:
    """A trial; of the finished ones every ninth failed and every third was stopped early."""
    rng = random.Random(number)
    lr = 10 ** rng.uniform(-5, -2)
    config = {
        "env": "CartPole-v1",
        "lr": lr,
        "gamma": rng.uniform(0.9, 0.999),
        "clip_param": rng.uniform(0.1, 0.4),
        "entropy_coeff": 10 ** rng.uniform(-5, -1),
        "model": {"fcnet_activation": rng.choice(["tanh", "relu"]), "fcnet_hiddens": [64, 64]},
        "num_epochs": rng.choice([5, 10, 20]),
    }
    failed = status == "TERMINATED" and number % 9 == 4
    early = status == "TERMINATED" and not failed and number % 3 == 1
    iteration = {"PENDING": 0, "RUNNING": 10}.get(status, 8 if failed or early else ITERATIONS)
    record: dict[str, Any] = {
        "number": number,
        "status": "ERROR" if failed else status,
        "reason": "failure" if failed else "scheduler" if early else None,
        "config": config,
        "seeds": [number * 10 + i for i in range(seeds)],
        "attempt": 2 if failed else 1,
        "failures": int(failed),
        "error": TRACEBACK if failed else None,
        "created_at": "2026-11-20T10:00:00Z",
        "started_at": "2026-11-20T10:00:01Z" if iteration else None,
        "ended_at": "2026-11-20T10:03:00Z" if status == "TERMINATED" else None,
    }
    if status == "TERMINATED" and record["reason"] is None:
        record["reason"] = "stop_rule"
    return advance(record, iteration)


def advance(record: dict[str, Any], iteration: int) -> dict[str, Any]:
    """The record as it stands after `iteration` results."""
    values = [point(record, METRIC, i)["value"] for i in range(1, iteration + 1)]
    best = max(values) if values else None
    last = {}
    if values:
        last = {
            METRIC: values[-1],
            LOSS: point(record, LOSS, iteration)["value"],
            "num_env_steps_sampled_lifetime": iteration * STEPS,
            "training_iteration": iteration,
            "time_total_s": iteration * 0.61,
            "note": "text",
        }
    return {
        **record,
        "iteration": iteration,
        "steps": iteration * STEPS,
        "time_total_s": iteration * 0.61,
        "objective": values[-1] if values else None,
        "best_objective": best,
        "best_iteration": values.index(best) + 1 if best is not None else None,
        "last": last,
        "best": last,
    }


def point(record: dict[str, Any], metric: str, iteration: int) -> dict[str, Any]:
    """What the trial's replicas reported at an iteration (from 1)."""
    if metric == "time_total_s":
        return _point(iteration, [iteration * 0.61])
    lr = record["config"]["lr"]
    speed = math.exp(-((math.log10(lr) + 3.2) ** 2) / 0.5)
    replicas = []
    for seed in record["seeds"]:
        rng = random.Random(f"{seed} {iteration} {metric}")
        skill = 1 / (1 + math.exp(-(iteration * speed - 7 - (seed % 5) * 0.5) / 2))
        value = 18 + 480 * skill * record["config"]["gamma"] + rng.gauss(0, 9) * skill
        replicas.append(
            min(500.0, value) if metric == METRIC else rng.gauss(0, 0.01) - 0.02 * skill
        )
    return _point(iteration, replicas)


def _point(iteration: int, replicas: list[float]) -> dict[str, Any]:
    value = sum(replicas) / len(replicas)
    return {
        "iteration": iteration,
        "steps": iteration * STEPS,
        "value": value,
        "replicas": replicas,
    }


@dataclass
class World:
    """What the API knows. `down`: every request fails; `token`: the one that is asked for."""

    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    trials: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    inside: dict[tuple[str, str], Any] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    down: bool = False
    token: str | None = None

    def add(
        self, id: str, trials: list[dict[str, Any]], *, status: str = "COMPLETED", **more: Any
    ) -> dict[str, Any]:
        self.trials[id] = {trial["number"]: trial for trial in trials}
        self.experiments[id] = {
            "id": id,
            "name": id,
            "status": status,
            "reason": None,
            "request": None,
            "trainable": "PPO",
            "environment": "CartPole-v1",
            "metric": METRIC,
            "mode": "max",
            "num_samples": len(trials),
            "num_seeds": 4,
            "created_at": f"2026-11-20T10:{len(self.experiments):02d}:00Z",
            "started_at": "2026-11-20T10:00:01Z",
            "ended_at": "2026-11-20T10:03:00Z" if status == "COMPLETED" else None,
            "origin": {},
            "spec": {"trainable": "PPO", "name": id, "param_space": SPACE},
            **more,
        }
        self.refresh(id)
        return self.experiments[id]

    def refresh(self, id: str) -> None:
        """Bring the summary of an experiment up to date with its trials."""
        trials = list(self.trials[id].values())
        counts: dict[str, int] = {}
        for trial in trials:
            counts[trial["status"]] = counts.get(trial["status"], 0) + 1
        judged = [t for t in trials if t["best_objective"] is not None]
        best = max(judged, key=lambda t: t["best_objective"], default=None)
        self.experiments[id] |= {
            "counts": counts,
            "starting": sum(t["status"] == "RUNNING" and not t["iteration"] for t in trials),
            "steps": sum(t["steps"] * len(t["seeds"]) for t in trials),
            "progress": sum(t["iteration"] for t in trials) / max(1, len(trials) * ITERATIONS),
            "best": best and {"trial": best["number"], "objective": best["best_objective"]},
        }


def problem(status: int, detail: str) -> JSONResponse:
    body = {"type": "about:blank", "title": "x", "status": status, "detail": detail, "errors": []}
    return JSONResponse(body, status, media_type="application/problem+json")


def make_app(world: World) -> FastAPI:
    """The made-up API and the real dashboard in one application."""
    app = FastAPI()

    @app.middleware("http")
    async def gate(request: Request, call_next: Any) -> Response:
        if not request.url.path.startswith("/api/"):
            return await call_next(request)  # type: ignore[no-any-return]
        world.requests.append(request.url.path)
        if world.down:
            return problem(503, "the store cannot be reached")
        if world.token and request.headers.get("authorization") != f"Bearer {world.token}":
            return problem(401, "a token is needed")
        return await call_next(request)  # type: ignore[no-any-return]

    @app.exception_handler(KeyError)
    async def missing(request: Request, error: KeyError) -> Response:
        return problem(404, f"there is no {error.args[0]!r}")

    _add_experiments(app, world)
    _add_trials(app, world)
    app.include_router(dashboard.router)
    return app


def _add_experiments(app: FastAPI, world: World) -> None:
    @app.get("/api/v1/experiments")
    def experiments(status: str = "", limit: int = 50, after: int = 0, origin: str = "") -> Any:
        items = [e for e in world.experiments.values() if not status or e["status"] == status]
        items = [e for e in items if not origin or e["origin"].get("experiment") == origin]
        items.sort(key=lambda e: e["created_at"], reverse=True)
        page = items[after : after + limit]
        following = after + limit if after + limit < len(items) else None
        return {"items": [{k: e[k] for k in e if k != "spec"} for e in page], "next": following}

    @app.post("/api/v1/experiments/{id}:cancel", status_code=202)
    def cancel(id: str) -> Any:
        world.experiments[id] |= {"status": "CANCELING", "request": "cancel"}
        return world.experiments[id]

    @app.get("/api/v1/experiments/{id}")
    def experiment(id: str) -> Any:
        return world.experiments[id]

    @app.get("/api/v1/experiments/{id}/events")
    def events(id: str, after: int = 0, limit: int = 200) -> Any:
        found = [event for event in world.events if event["id"] > after][:limit]
        return {"items": found, "next": None}

    @app.get("/api/v1/experiments/{id}/best")
    def best(id: str) -> Any:
        top = world.trials[id][world.experiments[id]["best"]["trial"]]
        values = sorted(point(top, METRIC, top["best_iteration"])["replicas"])
        mean = sum(values) / len(values)
        statistics = {
            "mean": mean, "iqm": mean + 1, "median": mean + 1, "std": 3.4, "n": len(values),
            "min": values[0], "max": values[-1], "low": mean - 4, "high": mean + 4,
            "values": values,
        }  # fmt: skip
        return {**top, "statistics": statistics}

    @app.get("/api/v1/experiments/{id}/best/checkpoint")
    def checkpoint(id: str) -> Response:
        headers = {"Content-Disposition": f'attachment; filename="{id}-best.zip"'}
        return Response(b"PK\x05\x06" + bytes(18), media_type="application/zip", headers=headers)


def _add_trials(app: FastAPI, world: World) -> None:
    def curve_of(trial: dict[str, Any], metric: str) -> list[dict[str, Any]]:
        return [point(trial, metric, i) for i in range(1, trial["iteration"] + 1)]

    @app.get("/api/v1/experiments/{id}/trials")
    def trials(id: str, status: str = "", limit: int = 100, after: int = 0) -> Any:
        found = [t for _, t in sorted(world.trials[id].items())]
        items = [t for t in found if not status or t["status"] == status][after : after + limit]
        return {"items": items, "next": str(after + limit) if len(items) == limit else None}

    @app.get("/api/v1/experiments/{id}/trials/{number}")
    def trial(id: str, number: int) -> Any:
        return world.trials[id][number]

    @app.get("/api/v1/experiments/{id}/trials/{number}/curve")
    def curve(id: str, number: int, metric: str, max_points: int = 500) -> Any:
        return {"metric": metric, "points": curve_of(world.trials[id][number], metric)}

    @app.get("/api/v1/experiments/{id}/curves")
    def curves(id: str, metric: str, top: int = 20, max_points: int = 200) -> Any:
        judged = [t for t in world.trials[id].values() if t["best_objective"] is not None]
        judged.sort(key=lambda t: t["best_objective"], reverse=True)
        shown = [{"trial": t["number"], "points": curve_of(t, metric)} for t in judged[:top]]
        return {"metric": metric, "curves": shown}
