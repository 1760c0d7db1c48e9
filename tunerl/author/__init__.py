"""The author's face: `Trainable` classes, functions that report, and what they may call."""

from tunerl.author.face import (
    Checkpoint,
    Trainable,
    get_checkpoint,
    get_context,
    report,
    with_parameters,
    with_resources,
)

__all__ = [
    "Checkpoint",
    "Trainable",
    "get_checkpoint",
    "get_context",
    "report",
    "with_parameters",
    "with_resources",
]
