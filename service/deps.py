"""What a route can ask for by type, so that its signature reads as a sentence."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from fastapi import Depends, Header, Query, Request
from starlette.exceptions import HTTPException

from service.settings import Settings
from tunerl.errors import InvalidInput, NotFound
from tunerl.store import Store
from tunerl.store.records import Experiment, TrialRecord
from tunerl.trial import ExperimentStatus, Status

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NUMBER = 2**31 - 1


class LazyStore:
    """Opens the store when it is first asked for, and again until that succeeds: a database that
    comes up after the API makes answers of 503, not a dead process."""

    def __init__(self, open: Callable[[], Store]) -> None:
        self._open, self._lock = open, threading.Lock()
        self._store: Store | None = None

    def __call__(self) -> Store:
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store

    def close(self) -> None:
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None


def the_store(request: Request) -> Store:
    store: Store = request.app.state.store()
    return store


def the_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


TheStore = Annotated[Store, Depends(the_store)]
TheSettings = Annotated[Settings, Depends(the_settings)]


def the_experiment(id: str, store: TheStore) -> Experiment:
    if "\0" in id:
        raise NotFound("no experiment has a NUL character in its id or name")
    return store.get_experiment(id)


TheExperiment = Annotated[Experiment, Depends(the_experiment)]


def the_trial(number: int, experiment: TheExperiment, store: TheStore) -> TrialRecord:
    if not 0 <= number <= MAX_NUMBER:
        raise NotFound(f"{experiment.name} has no trial {number}")
    return store.trial(experiment.id, number)


TheTrial = Annotated[TrialRecord, Depends(the_trial)]


async def json_object(request: Request) -> dict[str, Any]:
    """The body, a JSON object. 415 for another media type, 400 for what is not JSON.

    The media type matters: with it a foreign page cannot post here without asking first.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "send the experiment as Content-Type: application/json")
    raw = await request.body()
    try:
        body = json.loads(raw, parse_constant=_no_number, parse_float=_finite)
        json.dumps(body, ensure_ascii=False).encode()  # lone surrogates
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise HTTPException(400, f"the body is not valid JSON: {reason}") from None
    if not isinstance(body, dict):
        raise InvalidInput(f"an experiment is a JSON object, not {type(body).__name__}")
    if b"\\u0000" in raw and "\0" in json.dumps(body, ensure_ascii=False).replace("\\u0000", "\0"):
        raise InvalidInput("a text in the body holds a NUL character; remove it")
    return body


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"{text} is larger than any number of 64 bits")
    return number


JsonObject = Annotated[dict[str, Any], Depends(json_object)]
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)
]
Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[int, Query(ge=0, le=MAX_NUMBER)]
MaxPoints = Annotated[int, Query(ge=2, le=5000)]
Metric = Annotated[str | None, Query(max_length=300, pattern=r"^[^\x00]+$")]
Order = Literal["asc", "desc"]
OneStatus = Status | None
OneExperimentStatus = ExperimentStatus | None
