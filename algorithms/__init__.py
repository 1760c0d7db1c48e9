"""RL algorithms with RLlib's names: `PPO` and `PPOConfig`, and likewise for every other algorithm.

Each name is loaded when it is first used; an algorithm is found by its entry point.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from algorithms.a2c import A2C, A2CConfig
    from algorithms.a3c import A3C, A3CConfig
    from algorithms.algorithm import Algorithm
    from algorithms.appo import APPO, APPOConfig
    from algorithms.callbacks import DefaultCallbacks, RLlibCallback
    from algorithms.config import AlgorithmConfig
    from algorithms.core.nets import register_model
    from algorithms.cql import CQL, CQLConfig
    from algorithms.impala import IMPALA, IMPALAConfig
    from algorithms.iql import IQL, IQLConfig
    from algorithms.playing import rollout
    from algorithms.ppo import PPO, PPOConfig
    from algorithms.sac import SAC, SACConfig
    from algorithms.vpg import VPG, VPGConfig
    from tunerl.registry import register_env

__all__ = [
    "A2C",
    "A3C",
    "APPO",
    "CQL",
    "IMPALA",
    "IQL",
    "PPO",
    "SAC",
    "VPG",
    "A2CConfig",
    "A3CConfig",
    "APPOConfig",
    "Algorithm",
    "AlgorithmConfig",
    "CQLConfig",
    "DefaultCallbacks",
    "IMPALAConfig",
    "IQLConfig",
    "PPOConfig",
    "RLlibCallback",
    "SACConfig",
    "VPGConfig",
    "register_env",
    "register_model",
    "rollout",
]

_HOMES = {
    "Algorithm": "algorithms.algorithm",
    "AlgorithmConfig": "algorithms.config",
    "DefaultCallbacks": "algorithms.callbacks",
    "RLlibCallback": "algorithms.callbacks",
    "register_env": "tunerl.registry",
    "ActionDistribution": "algorithms.core.dists.custom_dists",
    "Columns": "algorithms.rl_module",
    "DefaultModelConfig": "algorithms.rl_module",
    "ModelCatalog": "algorithms.models",
    "Preprocessor": "algorithms.core.nets.preprocessors",
    "RLModule": "algorithms.rl_module",
    "RLModuleSpec": "algorithms.rl_module",
    "TorchModelV2": "algorithms.models",
    "TorchRLModule": "algorithms.rl_module",
    "ValueFunctionAPI": "algorithms.rl_module",
    "register_action_dist": "algorithms.core.dists.custom_dists",
    "rollout": "algorithms.playing",
    "register_model": "algorithms.core.nets",
    "register_preprocessor": "algorithms.core.nets.preprocessors",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    from tunerl import registry

    algorithm = name.removesuffix("Config")
    if algorithm in registry.trainables():
        spec = registry.trainable(algorithm)
        home = importlib.import_module(getattr(spec, "parameters", type(spec)).__module__)
        if hasattr(home, name):
            return getattr(home, name)
    raise AttributeError(f"module 'algorithms' has no attribute {name!r}")
