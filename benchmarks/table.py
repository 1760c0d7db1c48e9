"""Markdown out of numbers."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns; all but the first are numbers and stand to the right."""
    widths = [max(len(row[index]) for row in [head, *rows]) for index in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [head, rule, *rows]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )


def number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def times(value: float, base: float | None) -> str:
    return "" if not base else f"{value / base:.1f} x"


def verdict(name: str, value: float, target: float, unit: str = "") -> str:
    """One line: what was to be reached and what was."""
    word = "reached" if value >= target else "MISSED"
    return f"- {name}: {value:,.1f}{unit}, to reach {target:g}{unit}: {word}"
