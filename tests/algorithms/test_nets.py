"""Networks: initial weights, settings, and what of a user's own module is accepted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from algorithms.core.dists.distributions import Categorical, DiagGaussian
from algorithms.core.nets import ACTIVATIONS, ActorCritic, build, register_model, resolve_model
from tunerl.errors import InvalidConfig


def network(distribution: Any = Categorical(3), **model: Any) -> ActorCritic:  # noqa: B008
    made = build(5, distribution, resolve_model({"fcnet_hiddens": [32, 16], **model}))
    assert isinstance(made, ActorCritic)
    return made


def weights(module: nn.Module) -> list[Tensor]:
    """The weight matrices, `[out, in]` or `[in, out]`."""
    return [p.detach() for p in module.parameters() if p.dim() == 2]


def assert_orthogonal(weight: Tensor, gain: float) -> None:
    """The short side's vectors are orthogonal and of length `gain`."""
    short = weight if weight.shape[0] <= weight.shape[1] else weight.T
    eye = torch.eye(len(short))
    torch.testing.assert_close(short @ short.T, gain**2 * eye, rtol=1e-4, atol=1e-5)


def test_initial_weights_are_orthogonal_with_the_gains_of_ppo() -> None:
    made = network()
    for body in (made.body, made.value_body):
        assert body is not None
        for weight in weights(body):
            assert_orthogonal(weight, math.sqrt(2))
    assert_orthogonal(weights(made.head)[0], 0.01)
    assert_orthogonal(weights(made.value_head)[0], 1.0)
    assert all((p == 0).all() for p in made.parameters() if p.dim() == 1)


def test_policy_and_value_have_layers_of_their_own_unless_they_share() -> None:
    apart, shared = network(), network(vf_share_layers=True)
    assert shared.value_body is None
    sizes = [sum(p.numel() for p in made.parameters()) for made in (apart, shared)]
    assert sizes[0] - sizes[1] == (5 * 32 + 32) + (32 * 16 + 16)
    obs = torch.randn(4, 5)
    for made in (apart, shared):
        inputs, value = made(obs)
        assert inputs.shape == (4, 3)
        assert value.shape == (4,)
        torch.testing.assert_close(made.policy(obs), inputs)
        torch.testing.assert_close(made.value(obs), value)


def test_free_log_std_starts_at_zero_and_does_not_depend_on_the_state() -> None:
    free, bound = (network(DiagGaussian(2), free_log_std=flag) for flag in (True, False))
    inputs = free.policy(torch.randn(6, 5))
    assert inputs.shape == (6, 4)
    assert (inputs[:, 2:] == 0).all()
    assert bound.policy(torch.randn(6, 5)).shape == (6, 4)
    assert (bound.policy(torch.randn(6, 5))[:, 2:].std(0) > 0).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_layers_compute_what_plain_torch_computes(activation: str) -> None:
    made = network(fcnet_activation=activation)
    obs = torch.randn(7, 5)
    x, function = obs, ACTIVATIONS[activation]()
    for layer in made.body:
        if (weight := getattr(layer, "weight", None)) is None:
            continue
        matrix = weight.T if isinstance(layer, nn.Linear) else weight
        x = function(x @ matrix + layer.bias)
    torch.testing.assert_close(made.body(obs), x)


def test_no_hidden_layers_is_a_linear_policy() -> None:
    made = network(fcnet_hiddens=[])
    assert sum(p.numel() for p in made.parameters()) == (5 * 3 + 3) + (5 + 1)


@pytest.mark.parametrize(
    ("model", "path", "says"),
    [
        ({"fcnet_hidden": [8]}, "model.fcnet_hidden", "fcnet_hiddens"),
        ({"fcnet_hiddens": [8, 0]}, "model.fcnet_hiddens", "positive integers"),
        ({"fcnet_hiddens": 8}, "model.fcnet_hiddens", "list"),
        ({"fcnet_hiddens": [True]}, "model.fcnet_hiddens", "positive integers"),
        ({"fcnet_activation": "tan"}, "model.fcnet_activation", "tanh"),
        ({"vf_share_layers": 1}, "model.vf_share_layers", "true or false"),
        ({"free_log_std": "yes"}, "model.free_log_std", "true or false"),
        ({"custom_model": "nobody"}, "model.custom_model", "register_model"),
        ({"custom_model_config": [1]}, "model.custom_model_config", "object"),
    ],
)
def test_a_wrong_setting_is_named(model: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        resolve_model(model)
    assert [problem.path for problem in caught.value.problems] == [path]
    assert says in caught.value.problems[0].message


def test_all_wrong_settings_are_told_at_once() -> None:
    with pytest.raises(InvalidConfig) as caught:
        resolve_model({"fcnet_hiddens": "64", "fcnet_activation": "x", "size": 3})
    assert len(caught.value.problems) == 3


class Own(nn.Module):
    """A user's module; `wrong` bends what it puts out."""

    def __init__(self, inputs: int, outputs: int, width: int = 6, wrong: str = "") -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, width), nn.SiLU())
        self.norm = nn.BatchNorm1d(width) if wrong == "buffers" else nn.LayerNorm(width)
        self.pi, self.vf = nn.Linear(width, outputs), nn.Linear(width, 1)
        self.wrong = wrong

    def forward(self, obs: Tensor) -> Any:
        features = self.norm(self.body(obs))
        value = self.vf(features)
        if self.wrong == "logits":
            return self.pi(features)[..., :-1], value.squeeze(-1)
        return self.pi(features), value if self.wrong == "value" else value.squeeze(-1)


def own(wrong: str = "") -> nn.Module:
    model = {"custom_model": Own, "custom_model_config": {"width": 4, "wrong": wrong}}
    return build(5, Categorical(3), resolve_model(model))


def test_a_users_module_is_built_with_its_settings() -> None:
    assert isinstance(made := own(), Own)
    assert made.pi.weight.shape == (3, 4)


def test_a_registered_module_goes_by_its_name() -> None:
    register_model("own", Own)
    assert isinstance(build(5, Categorical(3), resolve_model({"custom_model": "own"})), Own)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("logits", r"gave \(\[3, 2\], \[3\]\), not \(\[3, 3\], \[3\]\)"),
        ("value", r"gave \(\[3, 3\], \[3, 1\]\), not"),
        ("buffers", "buffers"),
    ],
)
def test_a_users_module_that_cannot_be_packed_is_refused(wrong: str, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        own(wrong)
