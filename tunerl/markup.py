"""Small HTML for notebooks: a heading, lines, a bar, tables. Pure.

Invariant: every text is escaped; colours are the notebook's own, so that it suits light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

GOOD = "COMPLETED"
_ROUND = "height:4px;border-radius:2px;"
_BAR = f"{_ROUND}margin:4px 0 6px;max-width:480px;background:rgba(128,128,128,.25)"
_DONE = f"{_ROUND}background:#3b82c4;width:{{:.1f}}%"
_CELL = "padding:2px 10px;text-align:{};white-space:nowrap"
_QUIET = "margin:2px 0;opacity:.75"


def fragment(
    title: str, note: str, lines: Iterable[str], *, bar: float | None = None, body: str = ""
) -> str:
    """A heading with a note beside it, lines, a bar (`bar`: its share of 1) and what is below."""
    done = "" if bar is None else _DONE.format(100 * min(1.0, max(0.0, bar)))
    track = "" if bar is None else f'<div style="{_BAR}"><div style="{done}"></div></div>'
    texts = "".join(f'<p style="{_QUIET}">{escape(text)}</p>' for text in lines)
    head = f"<strong>{escape(title)}</strong> &middot; {escape(note)}"
    return f'<div><p style="margin:2px 0">{head}</p>{track}{texts}{body}</div>'


def tabular(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: int = 0,
    strong: frozenset[int] = frozenset(),
) -> str:
    """A table of texts. The last `words` columns, and none else, are set to the left; `strong`:
    the indices of the rows that stand out."""
    left = len(head) - words

    def cells(tag: str, texts: Sequence[str], bold: bool = False) -> str:
        weight = ";font-weight:600" if bold else ""
        return "".join(
            f'<{tag} style="{_CELL.format("left" if at >= left else "right")}{weight}">'
            f"{escape(text)}</{tag}>"
            for at, text in enumerate(texts)
        )

    body = "".join(
        f"<tr>{cells('td', row, number in strong)}</tr>" for number, row in enumerate(rows)
    )
    table = f"<table><thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto">{table}</div>'


def folded(summary: str, body: str) -> str:
    """What is shown on a click."""
    return f'<details style="{_QUIET}"><summary>{escape(summary)}</summary>{body}</details>'
