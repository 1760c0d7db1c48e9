"""What can be tuned."""

from __future__ import annotations

import logging

from fastapi import APIRouter

from service import schemas
from tunerl import registry
from tunerl.errors import TrainableError

router = APIRouter(tags=["trainables"])
log = logging.getLogger(__name__)


@router.get("/trainables", response_model=list[schemas.Trainable])
def list_trainables() -> list[schemas.Trainable]:
    """All registered trainables with the schemas of their configurations."""
    found = []
    for name in registry.trainables():
        try:
            spec = registry.trainable(name)
        except TrainableError as error:
            log.warning("a trainable is left out: %s", error)
            continue
        found.append(
            schemas.Trainable(
                name=name, objective=spec.objective, schema=schemas.clean(spec.schema())
            )
        )
    return found
