"""The columns of offline data: their names, and how what is missing follows from what is there.

Invariant: what comes out is sorted into episodes, each a run of rows in order of time, and every
row's `new_obs` is what really followed its step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunerl.errors import InvalidInput, nearest

Array = NDArray[Any]
Columns = dict[str, Array]

NAMES = (
    "obs",
    "actions",
    "rewards",
    "terminateds",
    "truncateds",
    "new_obs",
    "eps_id",
    "t",
    "action_logp",
)
"""The names of columns, RLlib's."""

OLDER = {
    "observations": "obs",
    "next_obs": "new_obs",
    "next_observations": "new_obs",
    "action": "actions",
    "reward": "rewards",
    "dones": "terminateds",
    "terminated": "terminateds",
    "terminations": "terminateds",
    "truncated": "truncateds",
    "truncations": "truncateds",
    "episode_id": "eps_id",
}
"""Other names for the same; `dones` of older files says that an episode ended, and counts as
terminated."""


def canonical(names: Iterable[str]) -> dict[str, str]:
    """``{our name: name in the file}`` for those columns of a file that mean something here.

    A column under its own name goes before one under an older name.
    """
    given = list(names)
    found = {OLDER[name]: name for name in given if name in OLDER}
    return found | {name: name for name in given if name in NAMES}


def require(found: Iterable[str], needed: Sequence[str], there: Iterable[str], where: str) -> None:
    """Raise `InvalidInput` naming the columns that are missing, and those that are there.

    `new_obs` is never missing as long as rows follow each other.
    """
    known = set(found)
    missing = [name for name in needed if name not in known and name != "new_obs"]
    if missing:
        present = sorted(map(str, there))
        hints = [
            f"{name!r} ({nearest(name, present)})" if present else repr(name) for name in missing
        ]
        listed = ", ".join(present) or "none"
        raise InvalidInput(
            f"{where} lacks the column{'s' * (len(missing) > 1)} {', '.join(hints)}; it has: "
            f"{listed}"
        )


def completed(columns: Mapping[str, Array]) -> Columns:
    """All of obs, actions, rewards, terminateds, truncateds, new_obs, eps_id (numbers from 0).

    Without `eps_id` an episode ends where a flag says so. Without `new_obs` it is the next row's
    `obs`; the last row of an episode that did not terminate is left out then, since what followed
    it is not known.
    """
    found = dict(columns)
    rows = len(found["obs"])
    for name in ("terminateds", "truncateds"):
        found[name] = found.get(name, np.zeros(rows, np.bool_)).astype(np.bool_)
    found["rewards"] = found.get("rewards", np.zeros(rows)).astype(np.float32)
    order = _order(found)
    if order is not None:
        found = {name: column[order] for name, column in found.items()}
    ends = _ends(found)
    found["eps_id"] = np.cumsum(ends) - ends
    found.pop("t", None)
    if "new_obs" in found:
        return found
    following = np.arange(rows) + ~ends  # what follows a terminated episode is of no meaning
    found["new_obs"] = found["obs"][following]
    keep = ~ends | found["terminateds"]
    return found if keep.all() else {name: column[keep] for name, column in found.items()}


def _order(columns: Mapping[str, Array]) -> Array | None:
    """The order that brings the rows of an episode together; None where they are."""
    if "eps_id" not in columns:
        return None
    ids = np.unique(columns["eps_id"], return_inverse=True)[1].ravel()
    runs = 1 + np.count_nonzero(np.diff(ids)) if len(ids) else 0
    if runs == len(np.unique(ids)):
        return None
    first = np.full(ids.max() + 1, len(ids))
    np.minimum.at(first, ids, np.arange(len(ids)))
    time = columns.get("t", np.zeros(len(ids)))
    return np.lexsort((np.arange(len(ids)), time, first[ids]))


def _ends(columns: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Whether a row is the last of its episode."""
    ends: NDArray[np.bool_] = columns["terminateds"] | columns["truncateds"]
    if "eps_id" in columns:
        ids = columns["eps_id"]
        ends = ends | np.append(ids[1:] != ids[:-1], True)
    if len(ends):
        ends[-1] = True
    return ends
