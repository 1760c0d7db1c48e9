"""`Part`: what one file of offline data held, and where in it a row stood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from algorithms.offline.columns import Columns

SpacesJson = dict[str, Any]
"""``{"observation_space": ..., "action_space": ...}`` as `spaces_json` writes them."""


@dataclass
class Part:
    """`columns` under our names; `there`: the file's own names; `lines`: of each row, if known."""

    path: str
    columns: Columns
    there: Sequence[str]
    spaces: SpacesJson | None = None
    lines: Sequence[int] | None = None

    def where(self, row: int) -> str:
        """A row's place, for a message."""
        if self.lines is not None:
            return f"{self.path}, line {self.lines[row]}"
        return f"{self.path}, row {row + 1}"
