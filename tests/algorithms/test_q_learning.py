"""The mathematics of DQN, each worked by hand: acting, Huber, C51's projection, noise, dueling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms.core.maths.q_learning import ActionValues, chosen, clipped, huber, project, softly
from algorithms.core.nets import resolve_model
from algorithms.core.nets.value_nets import NoisyDense, QNetwork, positions

MODEL = resolve_model({"fcnet_hiddens": [6]})


def test_the_dice_decide_between_any_action_and_the_best() -> None:
    values = torch.tensor([[1.0, 3.0, 2.0]]).expand(4, 3)
    dice = torch.tensor([[0.19, 0.0, 0.9], [0.19, 0.99, 0.0], [0.2, 0.0, 0.0], [0.9, 0.5, 0.0]])
    assert ActionValues(3, 0.2).sample(values, dice).tolist() == [0, 2, 1, 1]
    assert ActionValues(3, 0.2).mode(values).tolist() == [1] * 4


def test_soft_actions_are_drawn_in_proportion_to_the_exponential_of_their_values() -> None:
    values = torch.log(torch.tensor([[1.0, 2.0, 1.0]])).expand(4, 3)  # shares 1/4, 1/2, 1/4
    dice = torch.tensor([0.24, 0.26, 0.74, 0.76])
    assert softly(values, dice, torch.tensor(1.0)).tolist() == [0, 1, 1, 2]
    # at temperature 1/2 the shares are 1/6, 4/6, 1/6
    assert softly(values, torch.tensor([0.16, 0.17, 0.83, 0.84]), torch.tensor(0.5)).tolist() == [
        0, 1, 1, 2,
    ]  # fmt: skip


def test_probabilities_entropy_and_divergence_of_acting() -> None:
    actor = ActionValues(2, 0.5)
    inputs = torch.tensor([[0.0, 1.0]])
    assert actor.probabilities(inputs).tolist() == [[0.25, 0.75]]
    assert actor.logp(inputs, torch.tensor([0])).exp().tolist() == pytest.approx([0.25])
    wanted = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert actor.entropy(inputs).item() == pytest.approx(wanted)
    other = inputs.flip(-1)
    kl = 0.25 * np.log(0.25 / 0.75) + 0.75 * np.log(0.75 / 0.25)
    assert actor.kl(inputs, other).item() == pytest.approx(kl)
    assert actor.kl(inputs, inputs).item() == 0.0


def test_a_range_turns_positions_into_values() -> None:
    actor = ActionValues(2, 0.0, temperature=2.0, low=-1.0, span=4.0)
    assert actor.values(torch.tensor([0.0, 0.5])).tolist() == [-1.0, 1.0]
    shares = torch.softmax(torch.tensor([-1.0, 1.0]) / 2.0, -1)
    torch.testing.assert_close(actor.probabilities(torch.tensor([0.0, 0.5])), shares)


def test_what_belongs_to_the_action_is_chosen() -> None:
    values = torch.arange(12.0).view(2, 3, 2)
    assert chosen(values, torch.tensor([2, 0])).tolist() == [[4, 5], [6, 7]]
    assert chosen(values[..., 0], torch.tensor([1, 2])).tolist() == [2, 10]


def test_huber_is_a_parabola_that_goes_on_as_a_line() -> None:
    error = torch.tensor([-3.0, -0.5, 0.0, 1.0, 2.0])
    slope = clipped(error, torch.tensor(1.0))
    assert slope.tolist() == [-1.0, -0.5, 0.0, 1.0, 1.0]
    assert huber(error, slope).tolist() == [2.5, 0.125, 0.0, 0.5, 1.5]
    torch.testing.assert_close(
        huber(error, slope),
        torch.nn.functional.huber_loss(error, torch.zeros(5), reduction="none"),
    )
    square = clipped(error, torch.tensor(float("inf")))
    assert huber(error, square).tolist() == [4.5, 0.125, 0.0, 0.5, 2.0]


SUPPORT = torch.tensor([0.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("given", "reward", "discount", "wanted", "beyond"),
    [
        ([0, 1, 0, 0], 0.0, 1.0, [0, 1, 0, 0], 0.0),  # falls on an atom
        ([0, 0, 1, 0], 0.0, 0.75, [0, 0.5, 0.5, 0], 0.0),  # 1.5, between two
        ([0.5, 0.5, 0, 0], 0.25, 1.0, [0.375, 0.5, 0.125, 0], 0.0),
        ([0, 0.25, 0.25, 0.5], 2.0, 1.0, [0, 0, 0, 1], 0.75),  # 3, and 4 and 5 beyond the last
        ([0, 0, 0.5, 0.5], 0.25, 1.0, [0, 0, 0.375, 0.625], 0.0),  # 3.25 is as good as 3
        ([0.5, 0.5, 0, 0], -5.0, 1.0, [1, 0, 0, 0], 1.0),  # before the first
        ([0.25, 0.25, 0.25, 0.25], 3.0, 0.0, [0, 0, 0, 1], 0.0),  # the end of an episode
        ([0.25, 0.25, 0.25, 0.25], 0.0, 0.5, [0.375, 0.5, 0.125, 0], 0.0),  # 0, 0.5, 1, 1.5
    ],
)
def test_returns_are_projected_onto_the_atoms(
    given: list[float], reward: float, discount: float, wanted: list[float], beyond: float
) -> None:
    returns = reward + discount * SUPPORT
    found, share = project(torch.tensor([given], dtype=torch.float32), returns[None], SUPPORT)
    torch.testing.assert_close(found, torch.tensor([wanted], dtype=torch.float32))
    assert share.tolist() == [beyond]


def test_a_projection_keeps_the_mean_within_the_support_and_always_the_mass() -> None:
    random = torch.Generator().manual_seed(0)
    given = torch.rand(64, 51, generator=random).softmax(-1)
    support = torch.linspace(-10, 10, 51)
    rewards = torch.rand(64, generator=random)
    found = project(given, rewards[:, None] + 0.9 * support, support)[0]
    torch.testing.assert_close(found.sum(-1), torch.ones(64))
    torch.testing.assert_close(found @ support, rewards + 0.9 * (given @ support))


def test_noise_is_factorised_and_of_the_right_size() -> None:
    layer = NoisyDense(4, 3, sigma0=0.5)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        noise = torch.tensor([4.0, -1.0, 0.0, 1.0, 9.0, 0.25, -1.0])  # 4 inputs, 3 outputs
        # f = sign * sqrt: inputs (2, -1, 0, 1), outputs (3, 0.5, -1); sigma = 0.5 / sqrt(4)
        found = layer(torch.tensor([[1.0, 1.0, 1.0, 1.0]]), noise)
        torch.testing.assert_close(found, 0.25 * (2 + 1) * torch.tensor([[3.0, 0.5, -1.0]]))
        assert layer(torch.ones(1, 4)).tolist() == [[0.0, 0.0, 0.0]]
        many = torch.randn(20_000, 7, generator=torch.Generator().manual_seed(1))
        outputs = torch.stack([layer(torch.ones(1, 4), one)[0] for one in many[:4000]])
        # E|f|^2 = E|x| = sqrt(2 / pi): variance sigma^2 (4 m^2 + m)
        m = np.sqrt(2 / np.pi)
        np.testing.assert_allclose(outputs.mean(0), 0.0, atol=0.05)
        np.testing.assert_allclose(outputs.var(0), 0.0625 * (4 * m**2 + m), rtol=0.2)


@pytest.mark.parametrize("hiddens", [[], [5]], ids=["one layer", "streams"])
def test_dueling_values_are_the_states_value_plus_centred_advantages(hiddens: list[int]) -> None:
    network = QNetwork(3, 4, MODEL, hiddens=hiddens, dueling=True)
    obs = torch.randn(2, 3)
    features = network.body(obs)
    parts = torch.cat([stream(features) for stream in network.streams], -1)
    advantage, value = parts[:, :4], parts[:, 4:]
    wanted = value + advantage - advantage.mean(-1, keepdim=True)
    torch.testing.assert_close(network(obs), wanted)
    assert network(obs).shape == (2, 4)


def test_a_distribution_gives_the_mean_position_among_its_atoms() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    assert positions(logits).item() == pytest.approx(0.5 * 0.25 + 0.25)
    network = QNetwork(3, 2, MODEL, hiddens=[], dueling=True, atoms=5)
    obs = torch.randn(4, 3)
    assert network.logits(obs).shape == (4, 2, 5)
    torch.testing.assert_close(network(obs), positions(network.logits(obs)))


def test_noise_moves_the_streams_and_without_it_the_mean_weights_speak() -> None:
    network = QNetwork(3, 2, MODEL, hiddens=[5], dueling=True, sigma0=0.5)
    assert network.noise_size == 2 * (6 + 5) + (5 + 2) + (5 + 1)
    obs, noise = torch.randn(4, 3), torch.randn(network.noise_size)
    assert torch.equal(network(obs), network(obs, torch.zeros(network.noise_size)))
    assert not torch.equal(network(obs), network(obs, noise))
    quiet = QNetwork(3, 2, MODEL, hiddens=[5], dueling=True)
    assert quiet.noise_size == 0
