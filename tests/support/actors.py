"""Ending an actor of a fleet as a failing machine would."""

from __future__ import annotations

import time

import pytest

from algorithms.sampling.remote import Fleet


def kill(fleet: Fleet, number: int) -> None:
    """End an actor, and wait until Ray knows: what is asked of it from now on fails."""
    actor, errors = fleet.actors[number], fleet.ray.exceptions
    fleet.ray.kill(actor)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            fleet.ray.get(actor.ping.remote(), timeout=1.0)
        except errors.RayActorError:
            return
        except errors.GetTimeoutError:
            continue
        time.sleep(0.05)
    pytest.fail(f"actor {number} still answers 30 s after it was killed")
