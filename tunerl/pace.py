"""How fast something goes, and how long it will take: over the last moments."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class Pace:
    """Samples of (seconds, amount done, share done from 0 to 1) of the last `window` seconds."""

    window: float = 20.0
    samples: deque[tuple[float, float, float]] = field(default_factory=deque)

    def add(self, now: float, amount: float, share: float) -> None:
        self.samples.append((now, amount, share))
        while len(self.samples) > 2 and self.samples[0][0] < now - self.window:
            self.samples.popleft()

    @property
    def speed(self) -> float:
        """Amount per second; 0 before there are two samples."""
        if not self.samples:
            return 0.0
        (start, first, _), (end, last, _) = self.samples[0], self.samples[-1]
        return (last - first) / (end - start) if end > start else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds still to go at this pace; None as long as it would be a guess."""
        if not self.samples:
            return None
        (start, _, first), (end, _, last) = self.samples[0], self.samples[-1]
        if last < 0.05 or last <= first or end <= start:
            return None
        return (1 - last) * (end - start) / (last - first)
