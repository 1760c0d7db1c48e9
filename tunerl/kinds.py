"""How alike an experiment's trials are, which decides how full its packs will be.

Invariant: a function of the experiment's spec, so that a resumed one is planned as it began.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from tunerl.errors import InvalidInput
from tunerl.spec import ExperimentSpec, Parts
from tunerl.trainable import TrainableSpec
from tunerl.trial import Config

SAMPLES = 16  # of the space, to see which structures come up


class Kinds:
    """The structures (pack keys) that samples of an experiment's space have."""

    def __init__(self, trainable: TrainableSpec, spec: ExperimentSpec, parts: Parts) -> None:
        self.trainable, self.num_seeds = trainable, spec.num_seeds
        self.trials = max(1, parts.searcher.total or 0)
        self.samples: list[Config] = []
        self.counts: Counter[str] = Counter()
        for number in range(SAMPLES):
            try:
                drawn = parts.space.sample(np.random.default_rng([spec.seed % 2**64, number]))
                resolved = trainable.resolve(parts.objects.thaw(parts.objects.freeze(drawn)))
            except InvalidInput:  # a configuration that a trial would be refused for
                continue
            self.samples.append(resolved)
            self.counts[trainable.pack_key(resolved)] += 1

    def replicas(self, config: Config) -> int:
        """How many replicas of the experiment are probably of the kind of `config` (resolved)."""
        seen = self.counts[self.trainable.pack_key(config)]
        expected = self.trials * seen / max(1, len(self.samples))
        return max(1, round(expected)) * self.num_seeds
