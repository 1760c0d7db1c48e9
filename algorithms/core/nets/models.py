"""A user's network in one of RLlib's forms, as a pack takes it: ``[B, D] -> ([B, A], [B])``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn


def unflattened(space: Any, flat: Tensor) -> Any:
    """Vectors `[..., D]` in the form of the space: tensors `[..., *obs]`, dictionaries, tuples.

    Discrete parts stay one-hot.
    """
    if isinstance(space, spaces.Dict | spaces.Tuple):
        named = isinstance(space, spaces.Dict)
        parts = list(space.spaces.values() if named else space.spaces)
        pieces = torch.split(flat, [int(spaces.flatdim(part)) for part in parts], -1)
        found = [unflattened(part, piece) for part, piece in zip(parts, pieces, strict=True)]
        return dict(zip(space.spaces, found, strict=True)) if named else tuple(found)
    if isinstance(space, spaces.Box):
        return flat.reshape(*flat.shape[:-1], *space.shape)
    return flat


class ModuleNetwork(nn.Module):
    """Around an RLModule. Without values of its own an observation is worth 0."""

    def __init__(self, module: Any, space: Any) -> None:
        super().__init__()
        self.module, self.space = module, space

    def batch(self, obs: Tensor) -> dict[str, Any]:
        return {"obs": unflattened(self.space, obs)}

    def has_values(self, obs: Tensor) -> bool:
        """Whether the module values observations."""
        with torch.no_grad():
            said = self.module._forward_train(self.batch(obs))
        return hasattr(self.module, "compute_values") or "vf_preds" in said

    def policy(self, obs: Tensor) -> Tensor:
        found: Tensor = self.module._forward_exploration(self.batch(obs))["action_dist_inputs"]
        return found

    def value(self, obs: Tensor) -> Tensor:
        if hasattr(self.module, "compute_values"):
            found: Tensor = self.module.compute_values(self.batch(obs))
            return found
        return self(obs)[1]  # type: ignore[no-any-return]

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        batch = self.batch(obs)
        found: Mapping[str, Tensor] = self.module._forward_train(batch)
        inputs = found["action_dist_inputs"]
        if "vf_preds" in found:
            return inputs, found["vf_preds"]
        if hasattr(self.module, "compute_values"):
            return inputs, self.module.compute_values(batch, found.get("embeddings"))
        return inputs, torch.zeros_like(obs[..., 0])


class ModelV2Network(nn.Module):
    """Around a model of RLlib's older form, whose `forward` keeps what `value_function` gives."""

    def __init__(self, model: Any, space: Any) -> None:
        super().__init__()
        self.model, self.space = model, space

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        before = dict(vars(self.model))
        batch = {"obs": unflattened(self.space, obs), "obs_flat": obs, "is_training": True}
        try:
            inputs, _ = self.model.forward(batch, [], None)
            return inputs, self.model.value_function()
        finally:  # what it kept belongs to this call
            for name in set(vars(self.model)) - set(before):
                del vars(self.model)[name]
            vars(self.model).update(before)
