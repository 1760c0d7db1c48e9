"""Action distributions by name: a user's own, or another of TuneRL's than the space's usual one.

Invariant: what a member samples depends on its own noise only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from algorithms.core.dists.beta import Beta, Deterministic
from algorithms.core.dists.distributions import (
    Categorical,
    DiagGaussian,
    Distribution,
    MultiCategorical,
)
from algorithms.core.dists.squashed import SquashedGaussian
from tunerl import registry
from tunerl.errors import InvalidConfig, InvalidInput, Problem, nearest


def usual(space: Any) -> Distribution:
    """The distribution over the actions of a (checked) space where nothing else is asked for."""
    if isinstance(space, spaces.Discrete):
        return Categorical(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return MultiCategorical(tuple(int(n) for n in np.ravel(space.nvec)))
    return DiagGaussian(int(np.prod(space.shape)))


def _bounds(space: spaces.Box) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(map(float, space.low.ravel())), tuple(map(float, space.high.ravel()))


def _box(make: Callable[[spaces.Box], Distribution]) -> Callable[[Any], Distribution]:
    def checked(space: Any) -> Distribution:
        if not isinstance(space, spaces.Box):
            raise InvalidConfig(
                Problem("model.custom_action_dist", f"it is for Box actions only, not for {space}")
            )
        return make(space)

    return checked


BUILT_IN: dict[str, Callable[[Any], Distribution]] = {
    "DiagGaussian": _box(usual),
    "SquashedGaussian": _box(lambda space: SquashedGaussian(*_bounds(space))),
    "Beta": _box(lambda space: Beta(*_bounds(space))),
    "Deterministic": _box(lambda space: Deterministic(int(np.prod(space.shape)))),
}
"""Names that need not be registered."""


def register_action_dist(name: str, action_dist: Callable[..., Any]) -> None:
    """Name an action distribution, for ``model={"custom_action_dist": name}``.

    Either a function ``(action_space, model_settings) -> Distribution``, or a class as RLlib has
    them: `ActionDistribution`. Workers of this process know it too. Raises `InvalidInput`.
    """
    if not callable(action_dist):
        raise InvalidInput(f"action distribution {name!r} is {action_dist!r}; give a class")
    registry.share("action_dist", name, action_dist)


class ActionDistribution:
    """RLlib's form of a distribution: made of a network's outputs `[..., num_outputs]`.

    `required_model_output_shape` says how many those are. `model` has `num_outputs` and
    `model_config`. A subclass sets `self.dist`, a torch distribution, or writes the methods itself;
    all but `sample` and `deterministic_sample` must work under `torch.func.vmap`.
    """

    dist: Any

    def __init__(self, inputs: Tensor, model: Any = None) -> None:
        self.inputs, self.model = inputs, model

    @staticmethod
    def required_model_output_shape(action_space: Any, model_config: Mapping[str, Any]) -> Any:
        """How many numbers the network puts out: an int, or a shape."""
        raise NotImplementedError

    def sample(self) -> Tensor:
        found: Tensor = self.dist.sample()
        return found

    def deterministic_sample(self) -> Tensor:
        found: Tensor = self.dist.mode
        return found

    def logp(self, actions: Tensor) -> Tensor:
        found: Tensor = self.dist.log_prob(actions)
        return found

    def entropy(self) -> Tensor:
        found: Tensor = self.dist.entropy()
        return found

    def kl(self, other: Any) -> Tensor:
        """KL(self || other). torch's own for categoricals picks elements, which vmap cannot."""
        if isinstance(self.dist, torch.distributions.Categorical):
            logp, logq = self.dist.logits, other.dist.logits  # normalised by torch
            found: Tensor = (logp.exp() * (logp - logq)).sum(-1)
            return found
        return torch.distributions.kl_divergence(self.dist, other.dist)


@contextlib.contextmanager
def _unchecked() -> Iterator[None]:
    """Without torch's checks of arguments: while tracing there are no values to look at."""
    before = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        torch.distributions.Distribution.set_default_validate_args(before)


class Adapted(Distribution):
    """A class of RLlib's form as a distribution of a pack.

    A member's samples come from torch's generator, seeded by the member's own noise.
    """

    def __init__(self, kind: Any, space: Any, model: Mapping[str, Any]) -> None:
        self.kind = kind
        self.num_inputs = int(np.prod(kind.required_model_output_shape(space, dict(model))))
        self.discrete = not isinstance(space, spaces.Box)
        scalar = isinstance(space, spaces.Discrete)
        self.action_shape = () if scalar else (int(np.prod(space.shape)),)
        self.model = SimpleNamespace(num_outputs=self.num_inputs, model_config=dict(model))

    def of(self, inputs: Tensor) -> Any:
        """The user's distribution."""
        return self.kind(inputs, self.model)

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return generator.random((*shape, 1), dtype=np.float32)

    def sample(self, inputs: Tensor, noise: Tensor) -> Tensor:
        if inputs.dim() > 2:
            rows = zip(inputs, noise, strict=True)
            return torch.stack([self.sample(row, own) for row, own in rows])
        with torch.random.fork_rng(devices=[]), _unchecked():
            torch.manual_seed(int(float(noise.reshape(-1)[0]) * 2**24))
            return self._action(self.of(inputs).sample())

    def mode(self, inputs: Tensor) -> Tensor:
        with _unchecked():
            return self._action(self.of(inputs).deterministic_sample())

    def logp(self, inputs: Tensor, action: Tensor) -> Tensor:
        with _unchecked():
            found: Tensor = self.of(inputs).logp(action)
            return found

    def entropy(self, inputs: Tensor) -> Tensor:
        with _unchecked():
            found: Tensor = self.of(inputs).entropy()
            return found

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        with _unchecked():
            found: Tensor = self.of(old).kl(self.of(new))
            return found

    def _action(self, action: Tensor) -> Tensor:
        return action.long() if self.discrete else action.float()


def distribution_for(space: Any, model: Mapping[str, Any]) -> Distribution:
    """The distribution over the actions of a space that the settings of the network ask for.

    Raises `InvalidConfig` for one that is not there, not for such actions, or that does not work.
    """
    asked = model.get("custom_action_dist")
    if asked is None:
        return usual(space)
    own = registry.shared("action_dist")
    if isinstance(asked, str) and asked not in own:
        if asked not in BUILT_IN:
            hint = nearest(asked, {**BUILT_IN, **own})
            raise InvalidConfig(
                Problem("model.custom_action_dist", f"there is no {asked!r}; {hint}")
            )
        return BUILT_IN[asked](space)
    make = own[asked] if isinstance(asked, str) else asked
    try:
        if hasattr(make, "required_model_output_shape"):
            made: Distribution = Adapted(make, space, model)
        else:
            made = make(space, dict(model))
        _check(made)
    except InvalidConfig:
        raise
    except Exception as error:
        what = f"{asked!r} does not work: {type(error).__name__}: {error}"
        raise InvalidConfig(Problem("model.custom_action_dist", what)) from error
    return made


def _check(made: Distribution) -> None:
    """Everything an algorithm asks, for two members with three samples each."""
    noise = made.noise(np.random.default_rng(0), (2, 3))
    inputs = torch.zeros(2, 3, made.num_inputs)
    action = made.sample(inputs, torch.from_numpy(noise))
    shapes = {"sample": action.shape, "mode": made.mode(inputs).shape}
    for name, shape in shapes.items():
        if tuple(shape) != (2, 3, *made.action_shape):
            raise ValueError(
                f"{name} gave actions of shape {list(shape)} for [2, 3] samples; they must be "
                f"{[2, 3, *made.action_shape]}"
            )
    vmap = torch.func.vmap
    found = {
        "logp": vmap(made.logp)(inputs, action),
        "entropy": vmap(made.entropy)(inputs),
        "kl": vmap(made.kl)(inputs, inputs),
    }
    for name, value in found.items():
        if tuple(value.shape) != (2, 3):
            raise ValueError(f"{name} gave shape {list(value.shape)} for [2, 3] samples")
