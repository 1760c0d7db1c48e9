"""The API as one ASGI application: routes, the guard before them, the one error handler."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from service import errors
from service.deps import LazyStore
from service.guard import Guard
from service.routes import (
    amending,
    dashboard,
    experiments,
    health,
    inside,
    judging,
    results,
    trainables,
    trials,
)
from service.settings import Settings
from tunerl.store import Store

PREFIX = "/api/v1"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Raises `InvalidInput` where the network could use it without a token."""
    settings = settings or Settings()
    settings.require_token()
    store = LazyStore(lambda: Store(settings.url))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    # The stock pages for reading openapi.json load scripts from elsewhere: they are off.
    app = FastAPI(
        title="TuneRL", version=version("tunerl"), lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.settings, app.state.store = settings, store
    app.add_middleware(Guard, settings=settings)
    errors.install(app)
    for module in (experiments, amending, trials, results, judging, inside, trainables):
        app.include_router(module.router, prefix=PREFIX)
    app.include_router(health.router)
    app.include_router(dashboard.router)
    return app
