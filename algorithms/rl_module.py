"""`RLModule`: RLlib's form of an agent's network, three forward passes over batches.

A user's own is trained by naming it: ``config.rl_module(rl_module_spec=RLModuleSpec(Mine))``.
Invariant: a forward pass is a function of the parameters and of its batch.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from algorithms.core.dists.custom_dists import usual
from algorithms.core.dists.distributions import Distribution
from algorithms.core.nets.inputs import Inputs
from algorithms.core.nets.models import ModuleNetwork
from tunerl.errors import InvalidConfig, InvalidInput, Problem

DEFAULT_MODULE = "default_policy"
IN_RLLIB = ("learner_group", "learner", "rl_module")  # where RLlib's checkpoints keep modules


class Columns:
    """Names in batches."""

    OBS = "obs"
    ACTIONS = "actions"
    ACTION_DIST_INPUTS = "action_dist_inputs"
    ACTION_LOGP = "action_logp"
    EMBEDDINGS = "embeddings"
    VF_PREDS = "vf_preds"
    STATE_IN = "state_in"
    STATE_OUT = "state_out"


class RLModule(nn.Module):
    """A network that an algorithm can train. Write `setup` and `_forward`, or its three variants.

    They take ``{"obs": tensor [B, ...]}`` and answer ``{"action_dist_inputs": [B, A]}``; for an
    algorithm with a critic also ``vf_preds`` `[B]`, or the class has `compute_values`
    (`ValueFunctionAPI`). Everything must work under `torch.func.vmap`, and there are no buffers.
    """

    framework: ClassVar[str] = "torch"
    acts: ClassVar[bool] = True  # its outputs follow from the action space, so it is no critic

    def __init__(
        self,
        observation_space: Any = None,
        action_space: Any = None,
        *,
        inference_only: bool = False,
        learner_only: bool = False,
        model_config: Any = None,
        catalog_class: Any = None,
    ) -> None:
        super().__init__()
        self.observation_space, self.action_space = observation_space, action_space
        self.inference_only, self.learner_only = inference_only, learner_only
        self.model_config = settings_of(model_config)
        self.catalog_class = catalog_class
        self.setup()

    def setup(self) -> None:
        """Make the layers, of `observation_space`, `action_space` and `model_config`."""

    def forward_inference(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """What to act on without exploring; carries no gradients."""
        with torch.no_grad():
            return self._forward_inference(batch, **kwargs)

    def forward_exploration(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """What to act on while exploring; carries no gradients."""
        with torch.no_grad():
            return self._forward_exploration(batch, **kwargs)

    def forward_train(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """What a loss is computed on."""
        return self._forward_train(batch, **kwargs)

    def forward(self, batch: Mapping[str, Any], **kwargs: Any) -> Any:
        return self.forward_train(batch, **kwargs)

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        raise NotImplementedError(f"{type(self).__name__} has no _forward")

    def _forward_inference(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._forward(batch, **kwargs)

    def _forward_exploration(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._forward(batch, **kwargs)

    def _forward_train(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._forward(batch, **kwargs)

    def get_initial_state(self) -> dict[str, Any]:
        """The recurrent state of one agent at the beginning of an episode; empty: there is none."""
        return {}

    def is_stateful(self) -> bool:
        return bool(self.get_initial_state())

    @property
    def distribution(self) -> Distribution:
        """What the outputs are the inputs of."""
        return usual(self.action_space)

    def get_inference_action_dist_cls(self) -> type[ActionDist]:
        """The class to make a distribution of outputs: ``cls.from_logits(action_dist_inputs)``."""
        return action_dist_class(self.distribution)

    get_exploration_action_dist_cls = get_inference_action_dist_cls
    get_train_action_dist_cls = get_inference_action_dist_cls

    def get_state(self) -> dict[str, Any]:
        """The parameters by name, as arrays."""
        return {name: p.detach().numpy().copy() for name, p in self.named_parameters()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take parameters as `get_state` gives them. Raises `InvalidInput` for other names."""
        own = dict(self.named_parameters())
        if set(own) != set(state):
            raise InvalidInput(f"these are parameters {sorted(state)}, not {sorted(own)}")
        with torch.no_grad():
            for name, p in own.items():
                p.copy_(torch.as_tensor(state[name]))

    def unwrapped(self) -> Any:
        """The user's own module, where this one stands around it."""
        return self

    def __getitem__(self, module_id: str) -> RLModule:
        """The one module there is, as in RLlib's modules of several agents."""
        if module_id != DEFAULT_MODULE:
            raise KeyError(f"there is no module {module_id!r}; the only one is {DEFAULT_MODULE!r}")
        return self

    @classmethod
    def from_checkpoint(cls, path: Any) -> RLModule:
        """The module of an agent's checkpoint (a path as RLlib has them inside of one will do).

        Raises `CheckpointError` where there is none.
        """
        from algorithms.algorithm import Algorithm

        parts = Path(os.fspath(getattr(path, "path", path))).parts
        for i in range(len(parts)):
            if parts[i : i + len(IN_RLLIB)] == IN_RLLIB:
                parts = parts[:i]
                break
        algorithm = Algorithm.from_checkpoint(str(Path(*parts)))
        try:
            return algorithm.get_module()
        finally:
            algorithm.stop()

    @classmethod
    def as_network(cls, inputs: Inputs, outputs: int, config: Mapping[str, Any]) -> nn.Module:
        """A network of this class as a pack takes it. Raises `InvalidConfig`."""
        module = cls(inputs.space, inputs.action_space, model_config=dict(config))
        if module.is_stateful():
            raise InvalidConfig(
                Problem(
                    "model.custom_model",
                    f"{cls.__name__} has a recurrent state; a module of one's own cannot have one "
                    f"here: use model={{'use_lstm': True}}, or stack frames",
                )
            )
        return ModuleNetwork(module, inputs.space)


TorchRLModule = RLModule


class ValueFunctionAPI:
    """For modules that value observations."""

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        """Values `[B]` of ``batch["obs"]``; `embeddings` as ``_forward_train`` gave them."""
        raise NotImplementedError(f"{type(self).__name__} has no compute_values")


@dataclass
class RLModuleSpec:
    """What to make a module of. Spaces that are not given are the environment's."""

    module_class: Any = None
    observation_space: Any = None
    action_space: Any = None
    inference_only: bool = False
    learner_only: bool = False
    model_config: Any = None
    catalog_class: Any = None

    def build(self) -> RLModule:
        """One module with fresh weights. Raises `InvalidInput` without a class or spaces."""
        missing = [name for name in ("module_class", "observation_space", "action_space")
                   if getattr(self, name) is None]  # fmt: skip
        if missing:
            raise InvalidInput(f"RLModuleSpec needs {', '.join(missing)} to build a module")
        made: RLModule = self.module_class(
            self.observation_space,
            self.action_space,
            inference_only=self.inference_only,
            learner_only=self.learner_only,
            model_config=self.model_config,
            catalog_class=self.catalog_class,
        )
        return made

    def settings(self) -> dict[str, Any]:
        """As settings of the network (`model={...}`). Raises `InvalidConfig`."""
        config = settings_of(self.model_config)
        if self.module_class is None:
            return config
        if not callable(self.module_class):
            what = f"module_class is {self.module_class!r}; give a class derived from RLModule"
            raise InvalidConfig(Problem("rl_module_spec", what))
        return {"custom_model": self.module_class, "custom_model_config": config}


@dataclass
class DefaultModelConfig:
    """Settings of the network by RLlib's names; None: TuneRL's default for the environment."""

    fcnet_hiddens: list[int] | None = None
    fcnet_activation: str | None = None
    head_fcnet_hiddens: list[int] | None = None
    head_fcnet_activation: str | None = None
    conv_filters: list[Any] | None = None
    conv_activation: str | None = None
    vf_share_layers: bool | None = None
    free_log_std: bool | None = None
    use_lstm: bool | None = None
    use_gru: bool | None = None
    lstm_cell_size: int | None = None
    max_seq_len: int | None = None
    lstm_use_prev_action: bool | None = None
    lstm_use_prev_reward: bool | None = None


def settings_of(model_config: Any) -> dict[str, Any]:
    """A dict, or what is not None in a dataclass such as `DefaultModelConfig`."""
    if dataclasses.is_dataclass(model_config) and not isinstance(model_config, type):
        given = {f.name: getattr(model_config, f.name) for f in dataclasses.fields(model_config)}
        return {name: value for name, value in given.items() if value is not None}
    return dict(model_config or {})


class ActionDist:
    """A distribution over actions with its inputs `[B, A]`."""

    distribution: ClassVar[Distribution]

    def __init__(self, inputs: Tensor, model: Any = None) -> None:
        self.inputs = inputs

    @classmethod
    def from_logits(cls, logits: Tensor) -> ActionDist:
        return cls(logits)

    def sample(self, generator: Any = None) -> Tensor:
        """Actions `[B, ...]`; the noise comes from torch's generator, or a numpy generator."""
        import numpy as np

        seed = int(torch.randint(2**62, ()))
        generator = generator or np.random.Generator(np.random.PCG64(seed))
        noise = self.distribution.noise(generator, tuple(self.inputs.shape[:-1]))
        return self.distribution.sample(self.inputs, torch.from_numpy(noise))

    def deterministic_sample(self) -> Tensor:
        return self.distribution.mode(self.inputs)

    def to_deterministic(self) -> ActionDist:
        """Whose samples are the likeliest actions."""
        made = type(self)(self.inputs)
        made.sample = lambda generator=None: made.deterministic_sample()  # type: ignore[method-assign]
        return made

    def logp(self, actions: Tensor) -> Tensor:
        return self.distribution.logp(self.inputs, actions)

    def entropy(self) -> Tensor:
        return self.distribution.entropy(self.inputs)

    def kl(self, other: ActionDist) -> Tensor:
        return self.distribution.kl(self.inputs, other.inputs)


def action_dist_class(distribution: Distribution) -> type[ActionDist]:
    """A class of distributions of this kind."""
    name = type(distribution).__name__
    return type(name, (ActionDist,), {"distribution": distribution})
