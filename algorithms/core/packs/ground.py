"""What the members of a pack have in common: environments, spaces, the shape of the network.

It is fixed when the pack opens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.core import envs, nets
from algorithms.core.collecting.memory import Extras
from algorithms.core.collecting.sampler import Sampler
from algorithms.core.dists.custom_dists import distribution_for
from algorithms.core.dists.distributions import Distribution
from algorithms.core.envs.spaces import ActionCodec, ObservationCodec, check_spaces
from algorithms.core.lifting import device
from algorithms.core.lifting.stack import Layout
from algorithms.core.nets.own import check_lifts
from algorithms.core.nets.preprocessors import custom_preprocessor
from algorithms.core.packs.member import derived_seed
from tunerl.trainable import Pack
from tunerl.trial import Config

OWN = ("custom_model", "custom_action_dist", "custom_preprocessor")


class Ground(Pack):
    """`resolve`: configuration with defaults, or `InvalidConfig`. `key`: equal for those that may
    share this pack. `unseen`: settings that a class's own functions do not look at, shapes aside;
    a subclass has to say so again."""

    unseen: tuple[str, ...] = ()

    def __init__(
        self, config: Config, resolve: Callable[[Config], Config], key: Callable[[Config], str]
    ) -> None:
        torch.set_num_threads(1)
        self.resolve, self.key = resolve, key
        self.shared = resolve(config)
        self.pack_key = key(self.shared)
        self.device = device.of(self.shared)
        runners = max(1, self.shared.get("num_env_runners", 1))
        self.num_envs: int = runners * self.shared.get("num_envs_per_env_runner", 1)
        self.envs = self.training_envs(self.num_envs)
        obs_space, action_space = (
            self.envs.single_observation_space,
            self.envs.single_action_space,
        )
        check_spaces(obs_space, action_space)
        model = self.shared["model"]
        self.obs_codec = ObservationCodec(obs_space, *custom_preprocessor(model, obs_space))
        self.action_codec = ActionCodec(
            action_space,
            clip=self.shared["clip_actions"],
            normalize=self.shared["normalize_actions"],
        )
        self.distribution = self.make_distribution(action_space, model)
        self.filter = self.shared["observation_filter"] == "MeanStdFilter"
        self.extras = Extras(model, self.distribution)
        self.clip_rewards = envs.clips_rewards(self.shared)
        self.inputs = nets.Inputs.of(
            self.obs_codec.features,
            action_space,
            self.distribution,
            mask_key=self.shared.get("action_mask_key", nets.MASK_KEY),
            extras=self.extras.size,
            scaled=not self.filter,
        )
        self.sampler = Sampler(
            self.envs,
            self.distribution,
            self.obs_codec,
            self.action_codec,
            filter=self.filter,
            keep=self.inputs.mask,
        )
        self.obs_stats = self.sampler.obs_stats
        with torch.random.fork_rng():
            self.network = self.make_network()
        if model["custom_model"] is not None:
            check_lifts(self.network, self.obs_codec.D + self.extras.size)
        self.layout = Layout(self.network)

    def kind(self, function: str) -> Any:
        """What tells the graphs of a function of this pack, for `kept.graphs_of`.

        None where the configuration does not tell: with networks or distributions of one's own.
        """
        if any(self.shared["model"].get(name) for name in OWN):
            return None
        try:
            json.dumps(self.shared)
        except TypeError:
            return None
        unseen = dict.fromkeys(vars(type(self)).get("unseen", ()))
        key = self.key({**self.shared, **unseen})
        return type(self), key, str(self.inputs), self.distribution, function

    def training_envs(self, num_envs: int) -> envs.PackEnvs:
        """The environments that the members learn in."""
        return self.make_envs(num_envs)

    def make_distribution(self, space: Any, model: Mapping[str, Any]) -> Distribution:
        """The distribution over the actions of the environment's (checked) space."""
        return distribution_for(space, model)

    def make_envs(self, num_envs: int) -> envs.PackEnvs:
        """Environments without members; raises `InvalidConfig`."""
        return envs.of(self.shared, num_envs)

    def make_network(self) -> nn.Module:
        """A network of one agent with fresh weights from torch's global generator."""
        return nets.build(self.inputs, self.distribution, self.shared["model"])

    def fresh_parameters(self, seed: int) -> Tensor:
        """The initial weights `[P]` of the member with this seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, "network"))
            return self.layout.flatten(self.make_network())
