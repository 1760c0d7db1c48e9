"""What every environment runner can be asked by a group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Asking:
    """Runs functions where the runner lives."""

    worker_index = 0

    def ping(self) -> str:
        return "pong"

    def apply(self, function: Callable[..., Any] | str, *args: Any, **options: Any) -> Any:
        """``function(runner, ...)``, or the runner's method of that name."""
        if isinstance(function, str):
            return getattr(self, function)(*args, **options)
        return function(self, *args, **options)

    def apply_with_id(self, function: Callable[..., Any]) -> Any:
        """``function(number, runner)``."""
        return function(self.worker_index, self)

    def take_gathered(self) -> Any:
        """Statistics of the observations since the last call; None where there are none kept."""
        return None

    def merge_statistics(self, parts: Any) -> Any:
        """Take in what others saw; the statistics of all, None where there are none kept."""
        return None

    def set_statistics(self, statistics: Any) -> None:
        """Take over the statistics of all."""
