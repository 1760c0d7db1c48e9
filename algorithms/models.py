"""RLlib's older names for networks of one's own: `ModelCatalog` and `TorchModelV2`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from algorithms.core.dists.custom_dists import (
    ActionDistribution,
    distribution_for,
    register_action_dist,
)
from algorithms.core.nets import register_model
from algorithms.core.nets.inputs import Inputs
from algorithms.core.nets.models import ModelV2Network
from algorithms.core.nets.preprocessors import Preprocessor, get_preprocessor, register_preprocessor
from algorithms.core.nets.settings import MODEL_DEFAULTS
from algorithms.rl_module import ActionDist, action_dist_class

__all__ = [
    "MODEL_DEFAULTS",
    "ActionDistribution",
    "ModelCatalog",
    "Preprocessor",
    "TorchModelV2",
    "get_preprocessor",
]


class TorchModelV2:
    """Base of a model, beside `torch.nn.Module`; say `forward` and `value_function`.

    `forward(input_dict, state, seq_lens)` takes ``input_dict["obs"]`` in the form of the space (and
    ``"obs_flat"``), returns outputs `[B, num_outputs]` and the state as it came; `value_function()`
    is called after it and returns values `[B]`. Everything must work under `torch.func.vmap`.
    """

    def __init__(
        self,
        obs_space: Any,
        action_space: Any,
        num_outputs: int,
        model_config: Mapping[str, Any],
        name: str,
    ) -> None:
        self.obs_space, self.action_space = obs_space, action_space
        self.num_outputs, self.model_config, self.name = num_outputs, dict(model_config), name

    def get_initial_state(self) -> list[Any]:
        """Models here have no recurrent state: see ``model={"use_lstm": True}``."""
        return []

    def value_function(self) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no value_function")

    @classmethod
    def as_network(cls, inputs: Inputs, outputs: int, config: Mapping[str, Any]) -> nn.Module:
        """A model of this class as a pack takes it."""
        settings = {**MODEL_DEFAULTS, "custom_model_config": dict(config)}
        made = cls(inputs.space, inputs.action_space, outputs, settings, cls.__name__, **config)
        return ModelV2Network(made, inputs.space)


class ModelCatalog:
    """Names for models, action distributions and preprocessors of one's own."""

    @staticmethod
    def register_custom_model(model_name: str, model_class: Any) -> None:
        """A `TorchModelV2`, an `RLModule`, or a torch module as `register_model` takes it."""
        register_model(model_name, model_class)

    @staticmethod
    def register_custom_action_dist(action_dist_name: str, action_dist_class: Any) -> None:
        """An `ActionDistribution`, or what `register_action_dist` takes."""
        register_action_dist(action_dist_name, action_dist_class)

    @staticmethod
    def register_custom_preprocessor(preprocessor_name: str, preprocessor_class: Any) -> None:
        """A `Preprocessor`."""
        register_preprocessor(preprocessor_name, preprocessor_class)

    @staticmethod
    def get_preprocessor_for_space(observation_space: Any, options: Any = None) -> Preprocessor:
        return get_preprocessor(observation_space)(observation_space, options)

    @staticmethod
    def get_action_dist(
        action_space: Any, config: Mapping[str, Any] | None = None
    ) -> tuple[type[ActionDist], int]:
        """The class of distributions over these actions, and how many numbers one is made of."""
        found = distribution_for(action_space, config or {})
        return action_dist_class(found), found.num_inputs
