"""The one place where an error becomes an HTTP answer (problem+json), and where it turns back.

Invariant: an answer never shows the inside of the service; what was not foreseen is logged.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tunerl.errors import (
    Conflict,
    Fenced,
    IdempotencyConflict,
    IllegalTransition,
    InvalidConfig,
    InvalidInput,
    InvalidSpace,
    InvalidSpec,
    NotFound,
    Problem,
    StoreError,
    TuneRLError,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUS: tuple[tuple[type[TuneRLError], int], ...] = (
    (InvalidInput, 422),
    (NotFound, 404),
    (Conflict, 409),
    (Fenced, 409),
    (StoreError, 503),
)
INPUT = (InvalidInput, InvalidSpace, InvalidConfig, InvalidSpec)
STATE = (NotFound, Conflict, IllegalTransition, IdempotencyConflict, Fenced, StoreError)
CLASSES: dict[str, type[TuneRLError]] = {cls.__name__: cls for cls in (*INPUT, *STATE)}


class ServiceError(TuneRLError):
    """The service answered with an error that none of the tree's classes stands for."""

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class Unreachable(TuneRLError):
    """No service answers at the address."""


def problem(
    status: int,
    detail: str,
    type: str = "about:blank",
    errors: list[Problem] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """An answer in the form of RFC 9457. `type`: ``tunerl:`` and the error's class, if any."""
    content: dict[str, Any] = {
        "type": type,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [{"path": each.path, "message": each.message} for each in errors or []],
    }
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def answer(error: Exception) -> Response:
    """The answer to any error; what is not the caller's doing is logged with its traceback."""
    if isinstance(error, RequestValidationError):
        errors = [
            Problem(".".join(str(part) for part in each["loc"][1:]), each["msg"])
            for each in error.errors()
        ]
        return problem(422, "; ".join(map(str, errors)), "tunerl:InvalidInput", errors)
    if isinstance(error, HTTPException):
        return problem(error.status_code, str(error.detail), headers=_plain(error.headers))
    status = next((code for cls, code in STATUS if isinstance(error, cls)), 500)
    if status >= 500:
        log.error("answering %d", status, exc_info=error)
    if status == 500:
        return problem(500, "the service failed; its log says why")
    errors = error.problems if isinstance(error, InvalidInput) else []
    known = next(cls for cls in type(error).__mro__ if CLASSES.get(cls.__name__) is cls)
    return problem(status, str(error), f"tunerl:{known.__name__}", errors)


def _plain(headers: Any) -> dict[str, str] | None:
    return dict(headers) if headers else None


def install(app: FastAPI) -> None:
    """Make `answer` the one handler of `app`."""

    def handler(request: Request, error: Exception) -> Response:
        return answer(error)

    for cls in (TuneRLError, RequestValidationError, HTTPException):
        app.add_exception_handler(cls, handler)


def from_problem(body: Any, status: int) -> TuneRLError:
    """The exception that a problem+json `body` stands for, of the same class as in the service."""
    if not isinstance(body, dict):
        return ServiceError(f"the service answered {status}", status)
    detail = str(body.get("detail") or body.get("title") or f"the service answered {status}")
    cls = CLASSES.get(str(body.get("type", "")).removeprefix("tunerl:"))
    if cls is None:
        return ServiceError(detail, status)
    errors = body.get("errors")
    if issubclass(cls, InvalidInput) and isinstance(errors, list) and errors:
        return cls([Problem(str(e.get("path", "")), str(e.get("message", ""))) for e in errors])
    return cls(detail)
