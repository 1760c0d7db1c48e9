"""Thin handles over the REST API: what goes in and comes out is plain JSON.

Invariant: an error of the service arrives as the exception that it was there.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from service.errors import Unreachable, from_problem
from service.settings import is_loopback
from tunerl import checkpoints
from tunerl.errors import Conflict, CorruptCheckpoint, TuneRLError
from tunerl.trial import ExperimentStatus

Json = dict[str, Any]
Items = list[Json]
ADDRESS = "http://127.0.0.1:8700"
PAUSES = (0.1, 0.3, 0.8)  # seconds before each further try of a request that may be repeated
PAGE = 500


class Client:
    """Talks to one service, by address or over a given `httpx.Client` (a test's own).

    `token` is needed where the service has one. Every method raises what the service raised:
    `NotFound`, `InvalidSpec`, `Conflict`, ...; `Unreachable` where nobody answers.
    """

    def __init__(self, service: str | httpx.Client = ADDRESS, token: str | None = None) -> None:
        if isinstance(service, str):
            url = httpx.URL(service)
            timeout = httpx.Timeout(60.0, connect=5.0)
            service = httpx.Client(
                base_url=url, timeout=timeout, trust_env=not is_loopback(url.host)
            )
        self._http = service
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    @property
    def address(self) -> str:
        return str(self._http.base_url).rstrip("/")

    def create(self, spec: Mapping[str, Any], idempotency_key: str | None = None) -> Json:
        """Submit an experiment (`ExperimentSpec` as JSON). One key creates one experiment."""
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return self._json("POST", "/experiments", json=dict(spec), headers=key)

    def list(
        self, status: str | None = None, limit: int | None = None, origin: str | None = None
    ) -> Items:
        """Experiments, newest first; `origin`: those made from this one."""
        return self._pages("/experiments", limit, status=status, origin=origin)

    def get(self, id: str) -> Json:
        """The experiment with its spec. `id` may be its name."""
        return self._json("GET", _experiment(id))

    def cancel(self, id: str) -> Json:
        """Ask that the experiment ends; it does so within moments."""
        return self._json("POST", f"{_experiment(id)}:cancel")

    def pause(self, id: str) -> Json:
        """Ask that it is put aside, its running trials saved. Raises `NotFound`, `Conflict`."""
        return self._json("POST", f"{_experiment(id)}:pause")

    def resume(self, id: str) -> Json:
        """Ask that a paused one goes on. Raises `NotFound`, `Conflict`."""
        return self._json("POST", f"{_experiment(id)}:resume")

    def extend(self, id: str, **changes: Any) -> Json:
        """Let it go on under other settings, such as ``num_samples=20`` or ``stop={...}``."""
        return self._json("POST", f"{_experiment(id)}:extend", json=changes)

    def fork(self, id: str, **changes: Any) -> Json:
        """A new experiment with its history; `name` and what `extend` takes."""
        return self._json("POST", f"{_experiment(id)}:fork", json=changes)

    def confirm(self, id: str, top_k: int = 3, seeds: int | Sequence[int] = 10) -> Json:
        """Run the leaders again on seeds that were never tuned on; the new experiment."""
        body = {"top_k": top_k, "seeds": seeds if isinstance(seeds, int) else [*seeds]}
        return self._json("POST", f"{_experiment(id)}:confirm", json=body)

    def baseline(self, id: str) -> Json:
        """Random search over the same space on the same budget; the new experiment."""
        return self._json("POST", f"{_experiment(id)}:baseline")

    def ranking(self, id: str) -> Items:
        """Of a confirmation: its configurations, the best first."""
        return self._list(f"{_experiment(id)}/ranking")

    def importance(self, id: str, evaluator: str = "ped-anova") -> Items:
        """``{parameter, importance, low, high}``, the greatest first."""
        return self._list(f"{_experiment(id)}/importance?evaluator={evaluator}")

    def pareto(self, id: str) -> Json:
        """``{objectives, points: [{trial, config, values}]}``."""
        found: Json = self._json("GET", f"{_experiment(id)}/pareto")
        return found

    def incumbent(self, id: str) -> Json:
        """``{unit, spent, improvements: [{spent, value, trial, iteration, low, high}], ...}``."""
        found: Json = self._json("GET", f"{_experiment(id)}/incumbent")
        return found

    def policy(self, id: str, trial: int | None = None) -> Items:
        """Who took over from whom; of a `trial`: the settings behind its state."""
        of = "" if trial is None else f"/trials/{trial}"
        return self._list(f"{_experiment(id)}{of}/policy")

    def rungs(self, id: str) -> Json:
        """``{scheduler, time_attr, brackets, stopped: [{trial, time, value, needed, ...}]}``."""
        found: Json = self._json("GET", f"{_experiment(id)}/rungs")
        return found

    def trials(
        self,
        id: str,
        *,
        sort: str = "number",
        order: str = "asc",
        status: str | None = None,
        limit: int | None = None,
    ) -> Items:
        """Trials with their last and best results; all of them unless there is a `limit`."""
        return self._pages(
            f"{_experiment(id)}/trials", limit, sort=sort, order=order, status=status
        )

    def trial(self, id: str, number: int) -> Json:
        return self._json("GET", f"{_experiment(id)}/trials/{number}")

    def curve(self, id: str, trial: int, metric: str | None = None, max_points: int = 500) -> Items:
        """Points ``{iteration, steps, value, replicas}``, downsampled, extremes kept."""
        path = f"{_experiment(id)}/trials/{trial}/curve"
        query = {"metric": metric, "max_points": max_points}
        points: Items = self._json("GET", path, params=_given(query))["points"]
        return points

    def results(self, id: str) -> Items:
        """One entry for each trial: ``{trial, status, config, metrics, statistics, error}``."""
        return self._list(f"{_experiment(id)}/results")

    def results_csv(self, id: str, path: str | Path) -> Path:
        """Write the results as CSV to `path`."""
        with self._stream(f"{_experiment(id)}/results.csv") as response, open(path, "wb") as file:
            for block in response.iter_bytes():
                file.write(block)
        return Path(path)

    def best(self, id: str) -> Json:
        """The best trial and its statistics. Raises `NotFound` while there is none."""
        return self._json("GET", f"{_experiment(id)}/best")

    def download_best(self, id: str, directory: str | Path) -> Path:
        """The best trial's checkpoint, unpacked into `directory`, which must be new or empty.

        Raises `CorruptCheckpoint` where the bytes are not those that the service sent.
        """
        target = Path(directory).absolute()
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise Conflict(f"{target} is already there; name a new or empty directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tunerl-", dir=target.parent) as work:
            archive, unpacked = Path(work, "checkpoint.zip"), Path(work, "checkpoint")
            with self._stream(f"{_experiment(id)}/best/checkpoint") as response:
                _receive(response, archive)
            checkpoints.extract_zip(archive, unpacked)
            os.replace(unpacked, target)
        return target

    def events(self, id: str, after: int = 0) -> Items:
        """What happened, oldest first, after the event with number `after`."""
        path = f"{_experiment(id)}/events"
        items: Items = self._json("GET", path, params={"after": after})["items"]
        return items

    def trainables(self) -> Items:
        """What can be tuned: ``{name, objective, schema}``."""
        return self._list("/trainables")

    def wait(
        self,
        id: str,
        on_update: Callable[[Json], object] | None = None,
        *,
        poll: float = 0.5,
        timeout: float | None = None,
    ) -> Json:
        """The experiment once it has finished; `on_update` sees each state before.

        Raises `TimeoutError` after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            experiment = self.get(id)
            if on_update is not None:
                on_update(experiment)
            if ExperimentStatus(experiment["status"]).finished:
                return experiment
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{id} is still {experiment['status']} after {timeout} seconds")
            time.sleep(poll)

    def ready(self) -> Json:
        """What ``/readyz`` says; raises `StoreError` where the service is not ready."""
        body: Json = self._parsed(self._send("GET", "/readyz"))
        return body

    def _list(self, path: str) -> Items:
        items: Items = self._parsed(self._send("GET", "/api/v1" + path))
        return items

    def _json(self, method: str, path: str, **request: Any) -> Json:
        body: Json = self._parsed(self._send(method, "/api/v1" + path, **request))
        return body

    def _pages(self, path: str, limit: int | None, **query: Any) -> Items:
        items: Items = []
        query = _given(query)
        while limit is None or len(items) < limit:
            query["limit"] = PAGE if limit is None else min(PAGE, limit - len(items))
            page = self._json("GET", path, params=query)
            items += page["items"]
            query["after"] = page["next"]
            if page["next"] is None:
                break
        return items

    def _parsed(self, response: httpx.Response) -> Any:
        body = _body(response)
        if response.is_success and isinstance(body, dict | list):
            return body
        raise self._error(response, body)

    def _error(self, response: httpx.Response, body: Any) -> TuneRLError:
        if body is None and response.status_code < 500:
            return Unreachable(f"{self.address} answers, but it is not a TuneRL service")
        return from_problem(body, response.status_code)

    @contextmanager
    def _stream(self, path: str) -> Iterator[httpx.Response]:
        response = self._send("GET", "/api/v1" + path, stream=True)
        try:
            if not response.is_success:
                response.read()
                raise self._error(response, _body(response))
            yield response
        finally:
            response.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> httpx.Response:
        """One request; again after a broken connection, which is safe for all that is sent here:
        reading changes nothing, a submission carries its key, canceling twice is canceling."""
        headers = {**self._headers, **(headers or {})}
        for pause in (*PAUSES, None):
            try:
                built = self._http.build_request(method, path, headers=headers, **request)
                return self._http.send(built, stream=stream)
            except httpx.TransportError as error:
                if pause is None:
                    raise Unreachable(
                        f"no service answers at {self.address} ({error}); "
                        "start one with `tunerl serve`, or name its address with --url"
                    ) from error
                time.sleep(pause)
        raise AssertionError("unreachable")


def _receive(response: httpx.Response, path: Path) -> None:
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for block in response.iter_bytes():
            digest.update(block)
            file.write(block)
    promised = response.headers.get("X-Checksum-SHA256", "")
    if digest.hexdigest() != promised:
        raise CorruptCheckpoint(
            f"what arrived has SHA-256 {digest.hexdigest()}, what the service sent has "
            f"{promised or 'none'}; download it again"
        )


def _experiment(id: str) -> str:
    return f"/experiments/{quote(id, safe='')}"


def _given(query: Mapping[str, Any]) -> Json:
    return {name: value for name, value in query.items() if value is not None}


def _body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
