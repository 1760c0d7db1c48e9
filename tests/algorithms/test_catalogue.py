"""Convolutions, recurrent layers and masks: what they compute, and that a row keeps its bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algorithms.core import nets
from algorithms.core.dists.distributions import Categorical, MultiCategorical
from algorithms.core.lifting.optim import AdamState
from algorithms.core.lifting.stack import Layout, LiftedForward, LiftedUpdate, caller
from algorithms.core.nets import Convolution, Inputs, RecurrentActorCritic, build, resolve_model
from algorithms.core.nets.encoders import Parts, Pixels
from tunerl.errors import InvalidConfig

SMALL = spaces.Box(0, 255, (10, 9, 3), np.uint8)
MODEL = {"fcnet_hiddens": [8], "conv_filters": [[4, 3, 2], [5, 2, 1]]}


def made(space: Any, distribution: Any = Categorical(3), **model: Any) -> nn.Module:  # noqa: B008
    inputs = Inputs.of(space, spaces.Discrete(3), distribution)
    return build(inputs, distribution, resolve_model(model, inputs.space))


def stack(network: nn.Module, rows: int = 7) -> Tensor:
    size = Layout(network).size
    return 0.3 * torch.randn(rows, size, generator=torch.Generator().manual_seed(5))


def same_bits(network: nn.Module, *inputs: Tensor, method: str = "forward") -> None:
    """Row 5 alone, beside another and among seven computes the same, forward and update."""
    layout, flat = Layout(network), stack(network)
    whole = caller(network, method)

    def one(parameters: Any, *args: Tensor) -> Tensor:
        found = whole(parameters, *args)
        return (
            found if isinstance(found, Tensor) else torch.cat([found[0], found[1][..., None]], -1)
        )

    forward = LiftedForward(layout, one)
    full = forward(flat, *inputs)
    for rows in ([5], [5, 2], [0, 5, 1]):
        found = forward(flat[rows], *(x[rows] for x in inputs))
        assert torch.equal(found[rows.index(5)], full[5])
    if method == "forward":
        same_updates(network, flat, inputs)


def same_updates(network: nn.Module, flat: Tensor, inputs: tuple[Tensor, ...]) -> None:
    names = ("obs", "state_in", "resets")[: len(inputs)]

    def loss(call: Any, batch: Any, hp: Any) -> tuple[Tensor, Tensor]:
        found, value = call(batch["obs"])
        total = (found**2).mean() + (value**2).mean()
        return total, total.detach().reshape(1)

    update = LiftedUpdate(Layout(network), network, loss, False)
    found = {}
    for rows in ([5, 2], [*range(7), 0]):
        own = flat[rows]
        state = AdamState(torch.zeros_like(own), torch.zeros_like(own), torch.zeros(len(rows)))
        hp = {n: torch.full((len(rows),), v) for n, v in HP.items()}
        batch = {name: x[rows] for name, x in zip(names, inputs, strict=True)}
        new, *_ = update(own, state, batch, hp)
        found[len(rows)] = new[rows.index(5)]
    assert torch.equal(found[2], found[8])
    assert not torch.equal(found[2], flat[5])


HP = {"lr": 1e-2, "grad_clip": 1.0, "adam_epsilon": 1e-5}


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("kernel", "stride"), [((3, 3), (1, 1)), ((4, 2), (2, 3))])
def test_a_lifted_convolution_is_the_librarys_with_its_gradients(
    kernel: Any, stride: Any, padding: str
) -> None:
    torch.manual_seed(0)
    layer = Convolution(3, (10, 9), 4, kernel, stride, padding)
    x = torch.randn(2, 3, 10, 9)
    plain = layer(x)
    assert plain.shape == (2, 4, *layer.size)
    if padding == "same":
        assert layer.size == (-(-10 // stride[0]), -(-9 // stride[1]))
    parameters = dict(layer.named_parameters())
    both = {name: torch.stack([p, p]).detach() for name, p in parameters.items()}

    def total(p: Any, x: Tensor) -> Tensor:
        return (caller_of(p, x) ** 2).sum()

    caller_of = caller(layer)
    lifted = torch.func.vmap(torch.func.grad(total, argnums=(0, 1)))(both, torch.stack([x, x]))
    x.requires_grad_()
    (layer(x) ** 2).sum().backward()
    for name, p in parameters.items():
        torch.testing.assert_close(lifted[0][name][1], p.grad)
    torch.testing.assert_close(lifted[1][1], x.grad)


def test_pictures_are_scaled_and_turned_to_channels_first() -> None:
    encode = Pixels(SMALL, resolve_model({"conv_filters": []}), True)
    picture = np.arange(270, dtype=np.uint8).reshape(10, 9, 3)
    found = encode(torch.tensor(picture.ravel(), dtype=torch.float32)[None])
    expected = (picture.astype(np.float32) / 255).transpose(2, 0, 1).ravel()
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    first = Pixels(spaces.Box(0.0, 1.0, (3, 10, 9)), resolve_model({"conv_filters": []}), True)
    assert torch.equal(first(torch.arange(270.0)[None])[0], torch.arange(270.0))


@pytest.mark.parametrize(("size", "features"), [(84, 3136), (64, 1024), (42, 64), (10, 1024)])
def test_default_filters_fit_usual_pictures(size: int, features: int) -> None:
    space = spaces.Box(0, 255, (size, size, 4), np.uint8)
    assert nets.encoder(space, resolve_model({}, space))[1] == features


def test_pixels_have_defaults_of_their_own_that_can_be_overridden() -> None:
    full = resolve_model({}, SMALL)
    assert (full["fcnet_hiddens"], full["fcnet_activation"]) == ([128], "relu")
    assert resolve_model({"fcnet_hiddens": [7]}, SMALL)["fcnet_hiddens"] == [7]
    assert resolve_model(full, SMALL) == full
    assert resolve_model({}, spaces.Box(0, 1, (4,)))["fcnet_hiddens"] == [64, 64]


def test_pictures_inside_of_a_dict_go_through_convolutions() -> None:
    space = spaces.Dict(
        {"eye": SMALL, "speed": spaces.Box(-1, 1, (2,)), "mode": spaces.Discrete(4)}
    )
    encode, size = nets.encoder(space, resolve_model(MODEL, space))
    assert isinstance(encode, Parts)
    obs = torch.rand(3, 270 + 2 + 4)
    found = encode(obs)
    assert found.shape == (3, size)
    eye = Pixels(SMALL, resolve_model(MODEL), True)
    eye.load_state_dict(encode.ways[0].state_dict())
    torch.testing.assert_close(found[:, : eye.size], eye(obs[:, :270]))
    assert torch.equal(found[:, eye.size :], obs[:, 270:])


@pytest.mark.parametrize(
    ("space", "model", "says"),
    [
        (SMALL, {"conv_filters": [[4, 8, 4], [4, 5, 1]]}, "layer 2 is larger"),
        (spaces.Box(0, 1, (4,)), {"conv_filters": [[4, 3, 1]]}, "no picture"),
    ],
)
def test_filters_that_do_not_fit_are_refused(space: Any, model: Any, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        made(space, **model)


@pytest.mark.parametrize("shared", [True, False])
def test_a_row_of_a_convolutional_network_keeps_its_bits(shared: bool) -> None:
    network = made(SMALL, **MODEL, vf_share_layers=shared)
    same_bits(network, torch.randint(0, 256, (7, 6, 270)).float())


RECURRENT = {"fcnet_hiddens": [6], "lstm_cell_size": 5}


@pytest.mark.parametrize("cell", ["use_lstm", "use_gru"])
def test_a_recurrent_layer_computes_what_torch_computes(cell: str) -> None:
    torch.manual_seed(1)
    network = made(spaces.Box(-1, 1, (3,)), **RECURRENT, **{cell: True})
    assert isinstance(network, RecurrentActorCritic)
    memory = network.memory
    theirs = (nn.LSTM if cell == "use_lstm" else nn.GRU)(6, 5, batch_first=True)
    project = memory.cell.project
    with torch.no_grad():
        nn.init.normal_(project.bias)
        theirs.weight_ih_l0.copy_(project.weight.T)
        theirs.weight_hh_l0.copy_(memory.cell.recur.T)
        theirs.bias_ih_l0.copy_(project.bias)
        theirs.bias_hh_l0.zero_()
    obs = torch.randn(2, 7, 3)
    found = memory.unroll(obs, torch.zeros(2, memory.state_size), torch.zeros(2, 7))
    torch.testing.assert_close(found, theirs(memory.body(obs))[0])


@pytest.mark.parametrize("cell", ["use_lstm", "use_gru"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_sequence_is_its_steps_and_forgets_at_an_episodes_end(cell: str, shared: bool) -> None:
    torch.manual_seed(2)
    network = made(spaces.Box(-1, 1, (3,)), **RECURRENT, **{cell: True, "vf_share_layers": shared})
    assert isinstance(network, RecurrentActorCritic)
    obs, start = torch.randn(2, 6, 3), torch.randn(2, network.state_size)
    resets = torch.zeros(2, 6)
    resets[1, 4] = 1.0
    inputs, values = network(obs, start, resets)
    state = start
    for t in range(6):
        state = state * (1 - resets[:, t, None])
        found = network.step(obs[:, t], state)
        step_inputs, step_value, state = found.split([3, 1, network.state_size], -1)
        torch.testing.assert_close(step_inputs, inputs[:, t])
        torch.testing.assert_close(step_value[:, 0], values[:, t])
    fresh = network(obs[1:, 4:], torch.zeros(1, network.state_size), torch.zeros(1, 2))
    torch.testing.assert_close(fresh[0][0], inputs[1, 4:])


@pytest.mark.parametrize("cell", ["use_lstm", "use_gru"])
def test_a_row_of_a_recurrent_network_keeps_its_bits(cell: str) -> None:
    network = made(spaces.Box(-1, 1, (3,)), **RECURRENT, **{cell: True})
    size = network.state_size
    assert isinstance(size, int)
    resets = (torch.rand(7, 2, 4) > 0.7).float()
    same_bits(network, torch.randn(7, 2, 4, 3), torch.randn(7, 2, size), resets)
    same_bits(network, torch.randn(7, 2, 3), torch.randn(7, 2, size), method="step")


def masked_space(n: int) -> spaces.Dict:
    return spaces.Dict(
        {"action_mask": spaces.Box(0, 1, (n,), np.int8), "observations": spaces.Box(-1, 1, (2,))}
    )


@pytest.mark.parametrize("model", [{}, {"use_lstm": True}], ids=["plain", "lstm"])
def test_masked_actions_are_never_chosen_and_count_for_nothing(model: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = made(masked_space(3), fcnet_hiddens=[4], **model)
    obs = torch.tensor([[1.0, 0.0, 1.0, 0.3, -0.2]])
    if model:
        inputs = network(obs[:, None], torch.zeros(1, 128), torch.zeros(1, 1))[0][:, 0]
    else:
        inputs, value = network(obs)
        assert torch.equal(network.policy(obs), inputs)
        assert torch.equal(network.value(obs), value)
    dist, pair = Categorical(3), inputs[:, [0, 2]]
    noise = torch.cat([torch.linspace(0, 1, 4097)[:-1], torch.tensor([1 - 2**-24])])[:, None]
    chosen = dist.sample(inputs.expand(len(noise), 3), noise)
    assert set(chosen.tolist()) == {0, 2}
    assert int(dist.mode(inputs)) in (0, 2)
    two = Categorical(2)
    torch.testing.assert_close(dist.entropy(inputs), two.entropy(pair))
    torch.testing.assert_close(
        dist.logp(inputs, torch.tensor([2])), two.logp(pair, torch.tensor([1]))
    )
    other = torch.where(obs[:, :3] > 0.5, inputs + torch.tensor([0.5, 0.0, -0.5]), nets.MASKED)
    torch.testing.assert_close(dist.kl(inputs, other), two.kl(pair, other[:, [0, 2]]))
    gradient = torch.autograd.grad(dist.entropy(inputs).sum(), list(network.parameters()),
                                   allow_unused=True)  # fmt: skip
    assert all(g is None or torch.isfinite(g).all() for g in gradient)


def test_the_last_allowed_action_is_the_last_that_rounding_can_choose() -> None:
    torch.manual_seed(3)
    logits = torch.randn(4000, 9)
    logits[:, 6:] = nets.MASKED
    highest = torch.full((4000, 1), 1 - 2**-24)
    assert int(Categorical(9).sample(logits, highest).max()) <= 6 - 1


def test_a_mask_may_be_for_several_choices_and_alone_with_pictures() -> None:
    space = spaces.Dict({"action_mask": spaces.MultiBinary(5), "observations": SMALL})
    inputs = Inputs.of(space, spaces.MultiDiscrete([2, 3]), MultiCategorical((2, 3)))
    assert (inputs.space, inputs.mask, inputs.size) == (SMALL, slice(0, 5), 270)
    network = build(inputs, MultiCategorical((2, 3)), resolve_model(MODEL, inputs.space))
    same_bits(network, torch.cat([torch.ones(7, 6, 5), torch.rand(7, 6, 270)], -1))


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (masked_space(4), "must be a Box or MultiBinary of 3 numbers"),
        (spaces.Dict({"action_mask": spaces.MultiBinary(3)}), "nothing but 'action_mask'"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(space: Any, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        Inputs.of(space, spaces.Discrete(3), Categorical(3))


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ({"conv_filters": [[16, 3]]}, "conv_filters"),
        ({"conv_filters": [[16, [3, 3, 3], 1]]}, "conv_filters"),
        ({"conv_activation": "relo"}, "conv_activation"),
        ({"lstm_cell_size": 0}, "lstm_cell_size"),
        ({"max_seq_len": 2.5}, "max_seq_len"),
        ({"use_lstm": True, "use_gru": True}, "use_gru"),
        ({"head_fcnet_hiddens": [0]}, "head_fcnet_hiddens"),
        ({"custom_preprocessor": "nobody"}, "custom_preprocessor"),
    ],
)
def test_a_wrong_setting_of_the_catalogue_is_named(model: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        resolve_model(model)
    assert [problem.path for problem in caught.value.problems] == [f"model.{path}"]


def test_head_layers_are_each_heads_own() -> None:
    network = made(spaces.Box(-1, 1, (3,)), fcnet_hiddens=[4], post_fcnet_hiddens=[5],
                   vf_share_layers=True)  # fmt: skip
    sizes = {name: p.shape for name, p in network.named_parameters() if p.dim() == 2}
    assert len(sizes) == 1 + 2 + 2
    assert sum(p.numel() for p in network.parameters()) == 16 + 2 * 25 + 18 + 6
