"""Short trials go out several at a time: one after the other in a pack of one, without a word
from the controller between them.

Invariant: whoever goes out behind another is new and whole in one pack, its predecessors have
ended by themselves when its turn comes, and nobody waits long behind one that takes long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tunerl.runtime.base import Report, Runtime
from tunerl.spec import ExperimentSpec
from tunerl.trainable import TrainableSpec

if TYPE_CHECKING:
    from tunerl.control.ledger import Run
    from tunerl.control.pack import PackInPlay

SECONDS = 0.1  # how long results may be kept back
MOST = 32  # trials that go out together
ASK_S = 1.5  # after how many seconds it is asked how far it is, and how often


def possible(spec: ExperimentSpec, trainable: TrainableSpec, runtime: Runtime) -> bool:
    """Whether trials may follow each other unseen: nobody is to be saved at its end, and no failure
    ends the experiment. Never where reports are ordered: a turn is one step of each pack."""
    saved = trainable.stateful or spec.checkpoint.at_end or spec.checkpoint.frequency
    return runtime.relays and not runtime.ordered and not saved and not spec.failure.fail_fast


def depth(before: int, report: Report, seconds: float) -> int:
    """How many trials shall go out together next time, after a report that came after so many
    seconds. Pure."""
    results = report.results.values()
    if report.waiting or not results or any(m.get("done") is not True for m in results):
        return 1
    return min(MOST, 2 * before) if seconds < SECONDS / 2 else max(1, before // 2)


def room(packs: Iterable[PackInPlay]) -> int:
    """How many trials could go out now behind others."""
    takers = [pack for pack in packs if pack.capacity == 1 and not pack.busy]
    return sum(max(0, pack.depth - 1 - len(pack.ahead)) for pack in takers)


def behind(packs: Iterable[PackInPlay]) -> int:
    """How many of those that are under way wait behind others: they do not run yet."""
    return sum(max(0, len(pack.members) - 1) for pack in packs if pack.capacity == 1)


def deal(packs: Sequence[PackInPlay], waiting: Iterable[Run]) -> Iterator[tuple[PackInPlay, Run]]:
    """Who goes out behind the members of which pack; to be noted in `ahead` meanwhile."""
    takers = [
        pack
        for pack in packs
        if pack.depth > 1 and pack.capacity == len(pack.members) == 1 and not pack.busy
    ]
    for run in waiting:
        if not takers:
            return
        if run.attempt or len(run.seeds) > 1 or run.intent is not None:
            continue
        own = [pack for pack in takers if pack.key == run.key and not pack.exclusive]
        if own:
            pack = min(own, key=lambda pack: len(pack.ahead))
            yield pack, run
            takers = [pack for pack in takers if len(pack.ahead) < pack.depth - 1]
