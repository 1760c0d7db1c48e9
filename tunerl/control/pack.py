"""One open pack as the controller sees it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tunerl.runtime.base import Join, Leave, Order
from tunerl.trial import Config, ReplicaId


@dataclass
class PackInPlay:
    """One open pack. `number`: the lowest that no other pack in use had when somebody moved in; by
    it packs are found again after a restart. `orders`: what goes out with its next advance;
    `since`: when the one that is under way went out, in monotonic seconds. `needs`: what it
    occupies. `up`: it has reported. `ahead`: who goes out behind its member (a `Relay`);
    `depth`: how many may go out together; `asked`: when it was asked last how far it is."""

    name: str
    number: int
    key: str
    capacity: int
    needs: dict[str, float]
    config: Config
    exclusive: bool = False
    members: set[ReplicaId] = field(default_factory=set)
    resources: dict[str, float] | None = None  # where they are not those of its configuration
    orders: list[Order] = field(default_factory=list)
    busy: bool = False
    opened: bool = False
    up: bool = False
    since: float = 0.0
    ahead: list[Join] = field(default_factory=list)
    depth: int = 1
    asked: float = math.inf

    @property
    def vacant(self) -> bool:
        """Nobody sits here and nothing is to be done."""
        nothing = all(isinstance(order, Leave) for order in self.orders)
        return nothing and not self.members and not self.busy
