"""Where waiting replicas go. Pure and deterministic: no clock, no runtime, no store.

Invariant: all replicas of a trial are placed at once or not at all; in one pack if one can hold
them, else in packs of their own. Every trial is placed in the end, whatever the others do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

PATIENCE = (
    64  # how many younger trials may join other packs before a group without one gets its own
)


@dataclass(frozen=True)
class Waiting:
    """A trial that wants places for `replicas` replicas. Lower `order` has waited longer.

    `capacity`: of a pack with this key. `share`: the part of all workers that one pack occupies,
    1/2 where two such packs can run at once; more than 1 where none can.
    """

    trial: int
    key: str
    replicas: int
    capacity: int
    order: int
    share: float = 1.0


@dataclass(frozen=True)
class Open:
    """A pack that runs. `exclusive`: it belongs to one trial whose replicas fill several packs."""

    name: str
    key: str
    members: int
    capacity: int
    share: float = 1.0
    exclusive: bool = False


@dataclass(frozen=True)
class Placement:
    """A trial's replicas by index, and the pack: the name of an open one, or the number of a new
    one (counted from 0 within one answer)."""

    trial: int
    pack: str | int
    indices: tuple[int, ...]


@dataclass
class _Bin:
    pack: str | int
    key: str
    members: int
    capacity: int


@dataclass
class _Board:
    """The packs as they will be, and how much of the workers is taken."""

    bins: list[_Bin]
    used: float
    fresh: int = 0
    placements: list[Placement] = field(default_factory=list)

    def free(self, share: float) -> bool:
        return self.used + share <= 1 + 1e-9

    def add(self, group: Waiting) -> _Bin:
        new = _Bin(self.fresh, group.key, 0, group.capacity)
        self.fresh += 1
        self.used += group.share
        return new


def place(waiting: Iterable[Waiting], packs: Sequence[Open]) -> list[Placement]:
    """Places for as many of `waiting` as there is room for, in the order in which to join.

    Free workers go to the key with the most replicas per pack, the oldest on a tie; a key without a
    pack that has let more than `PATIENCE` younger trials pass comes before all others, and until
    it has one nobody so much younger joins another key's pack. Within a key the trials are spread
    evenly.
    """
    queue = sorted(waiting, key=lambda entry: entry.order)
    board = _Board(
        [_Bin(p.name, p.key, p.members, p.capacity) for p in packs if not p.exclusive],
        sum(pack.share for pack in packs),
    )
    groups: dict[str, list[Waiting]] = {}
    for entry in queue:
        groups.setdefault(entry.key, []).append(entry)
    if queue:
        held = {pack.key for pack in packs}
        _open_packs(board, groups, _starving(groups, held, queue[-1].order))
        limit = _youngest_allowed(board, groups, held)
        for entry in queue:
            if entry.replicas <= entry.capacity and entry.order <= limit.get(
                entry.key, entry.order
            ):
                _join(board, entry)
    return board.placements


def _starving(groups: dict[str, list[Waiting]], held: set[str], newest: int) -> list[str]:
    """Keys without a pack that have let too many pass, oldest first."""
    return [
        key
        for key, group in groups.items()
        if key not in held and newest - group[0].order > PATIENCE
    ]


def _open_packs(board: _Board, groups: dict[str, list[Waiting]], starving: list[str]) -> None:
    """Give the free workers away, one at a time."""
    want = {key: sum(entry.replicas for entry in group) for key, group in groups.items()}
    loads = {key: want[key] + sum(b.members for b in board.bins if b.key == key) for key in groups}
    split = {key: group[0].replicas > group[0].capacity for key, group in groups.items()}
    next_split = dict.fromkeys(groups, 0)

    def packs_of(key: str) -> int:
        return sum(b.key == key for b in board.bins) + next_split[key]

    def useful(key: str) -> bool:
        if split[key]:
            return next_split[key] < len(groups[key])
        mine = [b for b in board.bins if b.key == key]
        fewest = groups[key][0].replicas
        idle = sum(b.members == 0 for b in mine)
        return (
            idle * fewest < want[key] and (len(mine) + 1) * fewest <= loads[key]
        )  # a pack that nobody would move into helps nobody

    blocked: set[str] = set()
    while True:
        keys = [key for key in groups if key not in blocked and useful(key)]
        if not keys:
            return
        hungry = [key for key in starving if key in keys and packs_of(key) == 0]
        key = hungry[0] if hungry else max(keys, key=lambda k: loads[k] / (packs_of(k) + 1))
        entry = groups[key][next_split[key] if split[key] else 0]
        if split[key]:
            if not _fill_own(board, entry):
                blocked.add(key)
                if hungry:
                    return  # keep what is free for it
                continue
            next_split[key] += 1
        elif board.free(entry.share):
            board.bins.append(board.add(entry))
        else:
            blocked.add(key)
            if hungry:
                return


def _fill_own(board: _Board, entry: Waiting) -> bool:
    """Packs of its own for a trial with more replicas than a pack holds."""
    count = -(-entry.replicas // entry.capacity)
    if not board.free(count * entry.share):
        return False
    for i in range(count):
        indices = tuple(range(i, entry.replicas, count))
        board.placements.append(Placement(entry.trial, board.add(entry).pack, indices))
    return True


def _youngest_allowed(
    board: _Board, groups: dict[str, list[Waiting]], held: set[str]
) -> dict[str, int]:
    """For keys other than those that still have no pack: the highest order that may join."""
    placed = {placement.trial for placement in board.placements}
    have = held | {b.key for b in board.bins}
    without = [
        key
        for key, group in groups.items()
        if key not in have and not any(entry.trial in placed for entry in group)
    ]
    if not without:
        return {}
    oldest = min(groups[key][0].order for key in without)
    return {key: oldest + PATIENCE for key in groups if key not in without}


def _join(board: _Board, entry: Waiting) -> None:
    fitting = [
        b for b in board.bins if b.key == entry.key and b.members + entry.replicas <= b.capacity
    ]
    if not fitting:
        return
    target = min(fitting, key=lambda b: b.members)
    target.members += entry.replicas
    board.placements.append(Placement(entry.trial, target.pack, tuple(range(entry.replicas))))
