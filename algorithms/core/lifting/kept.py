"""Traced and compiled graphs, kept for all packs of this process that would make the same ones.

Invariant: a kind tells everything that a graph depends on besides its arguments' shapes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

REMEMBERED = 128  # kinds of functions whose graphs are kept after their packs are gone
_kinds: OrderedDict[Any, dict[Any, Any]] = OrderedDict()


def graphs_of(kind: Any, *what: Any) -> dict[Any, Any]:
    """Where the graphs of one function, `what`, of a kind of pack are kept, by shapes.

    `kind` None: they are not shared.
    """
    if kind is None:
        return {}
    found = _kinds.setdefault((kind, *what), {})
    _kinds.move_to_end((kind, *what))
    while len(_kinds) > REMEMBERED:
        _kinds.popitem(last=False)
    return found
