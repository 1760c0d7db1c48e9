"""Samples as people handle them: batches, episodes, what collects them and what keeps them."""

from algorithms.sampling.batch import Columns, SampleBatch, concat_samples
from algorithms.sampling.buffers import (
    FifoReplayBuffer,
    PrioritizedReplayBuffer,
    ReplayBuffer,
    ReservoirReplayBuffer,
)
from algorithms.sampling.episode import SingleAgentEpisode
from algorithms.sampling.episode_buffers import EpisodeReplayBuffer, PrioritizedEpisodeReplayBuffer
from algorithms.sampling.group import EnvRunnerGroup
from algorithms.sampling.runner import EnvRunner, SingleAgentEnvRunner

__all__ = [
    "Columns",
    "EnvRunner",
    "EnvRunnerGroup",
    "EpisodeReplayBuffer",
    "FifoReplayBuffer",
    "PrioritizedEpisodeReplayBuffer",
    "PrioritizedReplayBuffer",
    "ReplayBuffer",
    "ReservoirReplayBuffer",
    "SampleBatch",
    "SingleAgentEnvRunner",
    "SingleAgentEpisode",
    "concat_samples",
]
