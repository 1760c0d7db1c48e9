"""Trainables of the service's tests: quick, and with a gate that a test can open."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunerl import registry
from tunerl.author.face import Trainable
from tunerl.trainable import vector

GATE = "TUNERL_TEST_GATE"  # while this file exists, `Gated` waits before its third iteration


class Quick(Trainable):
    """Its score after i iterations is i * x, 100 steps each; the seed adds a little."""

    @dataclass(frozen=True)
    class Hyperparameters:
        x: float = vector(1.0, "what the score grows by", low=0.0, high=10.0)
        fail: bool = vector(False, "whether the second iteration raises")

    def setup(self, config: dict[str, Any]) -> None:
        self.done = 0
        self.x, self.fail = config["x"], config["fail"]

    def step(self) -> dict[str, Any]:
        self.done += 1
        if self.fail and self.done == 2:
            raise RuntimeError("asked to fail")
        score = self.done * self.x + (self.seed % 100) / 1e6
        return {"score": score, "num_env_steps_sampled_lifetime": 100 * self.done}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"done": self.done}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.done = checkpoint["done"]


class Gated(Quick):
    """As `Quick`, but before its third iteration it waits for the gate to open."""

    def step(self) -> dict[str, Any]:
        gate = Path(os.environ.get(GATE, "-"))
        if self.done == 2:
            while gate.exists():
                threading.Event().wait(0.02)
        return super().step()


class NotANumber(Quick):
    """Reports NaN and infinity."""

    def step(self) -> dict[str, Any]:
        return super().step() | {"score": float("nan"), "other": float("inf")}


def register() -> None:
    """Make them known by name in this process."""
    for name, cls in (("quick", Quick), ("gated", Gated), ("nan", NotANumber)):
        registry.register_trainable(name, cls)
