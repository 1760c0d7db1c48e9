"""Samples as people handle them: batches, episodes, what collects them and what keeps them."""

from algorithms.sampling.batch import Columns, SampleBatch, concat_samples
from algorithms.sampling.buffers import (
    FifoReplayBuffer,
    PrioritizedReplayBuffer,
    ReplayBuffer,
    ReservoirReplayBuffer,
)
from algorithms.sampling.connectors import ConnectorPipeline, connected
from algorithms.sampling.episode import SingleAgentEpisode
from algorithms.sampling.episode_buffers import EpisodeReplayBuffer, PrioritizedEpisodeReplayBuffer
from algorithms.sampling.group import EnvRunnerGroup
from algorithms.sampling.helpers import synchronous_parallel_sample, train_one_step
from algorithms.sampling.learner import Learner, LearnerGroup
from algorithms.sampling.runner import EnvRunner, SingleAgentEnvRunner

__all__ = [
    "Columns",
    "ConnectorPipeline",
    "EnvRunner",
    "EnvRunnerGroup",
    "EpisodeReplayBuffer",
    "FifoReplayBuffer",
    "Learner",
    "LearnerGroup",
    "PrioritizedEpisodeReplayBuffer",
    "PrioritizedReplayBuffer",
    "ReplayBuffer",
    "ReservoirReplayBuffer",
    "SampleBatch",
    "SingleAgentEnvRunner",
    "SingleAgentEpisode",
    "concat_samples",
    "connected",
    "synchronous_parallel_sample",
    "train_one_step",
]
