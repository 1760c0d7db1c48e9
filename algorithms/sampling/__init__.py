"""Samples as people handle them: batches, episodes, what collects them and what keeps them."""

from algorithms.sampling.batch import Columns, SampleBatch, concat_samples
from algorithms.sampling.episode import SingleAgentEpisode

__all__ = ["Columns", "SampleBatch", "SingleAgentEpisode", "concat_samples"]
