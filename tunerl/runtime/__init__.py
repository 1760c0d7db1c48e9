"""Where packs run: `local` in this process, `ray` on a cluster."""

from __future__ import annotations

from typing import Any

from tunerl.errors import InvalidInput, nearest
from tunerl.runtime.base import Runtime

NAMES = ("local", "ray")


def create(name: str, **options: Any) -> Runtime:
    """The runtime called `name`, with the options of its class. Raises `InvalidInput`."""
    if name == "local":
        from tunerl.runtime.local import LocalRuntime

        return LocalRuntime(**options)
    if name == "ray":
        from tunerl.runtime.ray import RayRuntime

        return RayRuntime(**options)
    raise InvalidInput(f"no runtime is called {name!r}; {nearest(name, NAMES)}")
