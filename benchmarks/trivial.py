"""The trivial trial, the same for every tuner: goes before the tuner's own class of trainables."""

from __future__ import annotations

from typing import Any


class Trivial:
    """One result, and done; what holds it goes on with the next trial."""

    def setup(self, config: dict[str, Any]) -> None:
        self.x = config["x"]

    def step(self) -> dict[str, Any]:
        return {"score": self.x, "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True
