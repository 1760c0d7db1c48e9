"""Recurrent policy networks, written out as matrix products: LSTM (Hochreiter and Schmidhuber) and
GRU (Cho et al., arXiv 1406.1078).

Invariant: what comes before the first step of an episode changes nothing after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.core.dists.distributions import Distribution
from algorithms.core.nets.encoders import encoder
from algorithms.core.nets.heads import policy_head, value_head
from algorithms.core.nets.inputs import Inputs, mask_logits, without_mask
from algorithms.core.nets.layers import Dense, mlp


def sigmoid(x: Tensor) -> Tensor:
    """By way of tanh, which gives an element the same bits wherever it lies."""
    return 0.5 * torch.tanh(0.5 * x) + 0.5


class Cell(nn.Module):
    """One step of a recurrent layer: ``projected inputs [B, G], state [B, S] -> state``.

    The first `size` numbers of the state are the layer's output. `gates` is ``G / size``,
    `carried` is ``S / size``.
    """

    gates: int
    carried: int

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.project = Dense(inputs, self.gates * size)
        self.recur = nn.Parameter(torch.empty(size, self.gates * size))
        nn.init.orthogonal_(self.project.weight)
        nn.init.orthogonal_(self.recur)

    def step(self, projected: Tensor, state: Tensor) -> Tensor:
        raise NotImplementedError


class LSTMCell(Cell):
    """State: output and cell side by side."""

    gates, carried = 4, 2

    def step(self, projected: Tensor, state: Tensor) -> Tensor:
        out, cell = state[..., : self.size], state[..., self.size :]
        i, f, new, o = (projected + out @ self.recur).chunk(4, -1)
        cell = sigmoid(f) * cell + sigmoid(i) * torch.tanh(new)
        return torch.cat([sigmoid(o) * torch.tanh(cell), cell], -1)


class GRUCell(Cell):
    """State: the output."""

    gates, carried = 3, 1

    def step(self, projected: Tensor, state: Tensor) -> Tensor:
        reset, update, new = projected.chunk(3, -1)
        reset_h, update_h, new_h = (state @ self.recur).chunk(3, -1)
        reset, update = sigmoid(reset + reset_h), sigmoid(update + update_h)
        return update * state + (1 - update) * torch.tanh(new + reset * new_h)


class Memory(nn.Module):
    """Features, hidden layers, then a recurrent layer over them (and over the extras)."""

    def __init__(self, inputs: Inputs, model: Mapping[str, Any]) -> None:
        super().__init__()
        encode, size = encoder(inputs.space, model, scaled=inputs.scaled)
        hidden, size = mlp(size, model["fcnet_hiddens"], model["fcnet_activation"])
        self.body = nn.Sequential(encode, hidden) if encode is not None else hidden
        self.extras = inputs.extras
        kind = LSTMCell if model["use_lstm"] else GRUCell
        self.cell = kind(size + inputs.extras, model["lstm_cell_size"])
        self.size: int = model["lstm_cell_size"]
        self.state_size = kind.carried * self.size

    def projected(self, obs: Tensor) -> Tensor:
        """What does not depend on the state, for any number of steps at once."""
        own = obs.shape[-1] - self.extras
        features = self.body(obs[..., :own])
        if self.extras:
            features = torch.cat([features, obs[..., own:]], -1)
        found: Tensor = self.cell.project(features)
        return found

    def unroll(self, obs: Tensor, state: Tensor, resets: Tensor) -> Tensor:
        """Outputs `[N, T, size]` of sequences; `resets` `[N, T]` is 1 where an episode begins."""
        projected, keep = self.projected(obs), 1.0 - resets
        outputs = []
        for t in range(obs.shape[1]):
            state = self.cell.step(projected[:, t], state * keep[:, t, None])
            outputs.append(state[..., : self.size])
        return torch.stack(outputs, 1)


class RecurrentActorCritic(nn.Module):
    """A policy head and a value head on one memory, or on one each.

    `step` acts, one observation after the other; `forward` takes whole sequences.
    """

    def __init__(
        self, inputs: Inputs, distribution: Distribution, model: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.mask = inputs.mask
        self.memory = Memory(inputs, model)
        shared = model["vf_share_layers"]
        self.value_memory = None if shared else Memory(inputs, model)
        self.num_outputs = distribution.num_inputs
        self.head = policy_head(self.memory.size, distribution, model)
        self.value_head = value_head(self.memory.size, model)
        self.state_size = self.memory.state_size * (1 if shared else 2)

    def step(self, obs: Tensor, state: Tensor) -> Tensor:
        """``[B, D], [B, S] -> [B, A + 1 + S]``: distribution, value and next state in a row."""
        rest, mask = without_mask(obs, self.mask)
        memories = [self.memory] if self.value_memory is None else [self.memory, self.value_memory]
        parts = torch.split(state, self.memory.state_size, -1)
        states = [
            memory.cell.step(memory.projected(rest), part)
            for memory, part in zip(memories, parts, strict=True)
        ]
        size = self.memory.size
        inputs = self.head(states[0][..., :size])
        inputs = inputs if mask is None else mask_logits(inputs, mask)
        return torch.cat([inputs, self.value_head(states[-1][..., :size]), *states], -1)

    def forward(self, obs: Tensor, state: Tensor, resets: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, T, D], [N, S], [N, T] -> [N, T, A], [N, T]``."""
        rest, mask = without_mask(obs, self.mask)
        parts = torch.split(state, self.memory.state_size, -1)
        outputs = self.memory.unroll(rest, parts[0], resets)
        inputs = self.head(outputs)
        if self.value_memory is not None:
            outputs = self.value_memory.unroll(rest, parts[1], resets)
        inputs = inputs if mask is None else mask_logits(inputs, mask)
        return inputs, self.value_head(outputs).squeeze(-1)
