"""Lifting over rows: what a row computes is what one agent computes, to the bit at any size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from algorithms.core.lifting.optim import Adam, AdamState, RMSprop
from algorithms.core.lifting.stack import (
    TRACED_SIZES,
    Layout,
    LiftedForward,
    LiftedUpdate,
    caller,
    chunks,
    padded,
)

ODD = (21, 7, 5)  # samples, inputs, hidden units: nothing fills a vector register


def small(activation: nn.Module | None = None) -> nn.Module:
    _, inputs, hidden = ODD
    return nn.Sequential(nn.Linear(inputs, hidden), activation or nn.Tanh(), nn.Linear(hidden, 1))


def stack(network: nn.Module, rows: int) -> Tensor:
    layout = Layout(network)
    return torch.randn(rows, layout.size, generator=torch.Generator().manual_seed(5))


def test_layout_takes_a_network_apart_and_puts_it_together_again() -> None:
    network = small()
    layout = Layout(network)
    flat = layout.flatten(network)
    assert flat.shape == (layout.size,) == (7 * 5 + 5 + 5 + 1,)
    views = layout.views(flat)
    assert all(torch.equal(views[name], p) for name, p in network.named_parameters())
    assert torch.equal(layout.join(views), flat)
    other = small()
    layout.load(other, flat)
    assert torch.equal(layout.flatten(other), flat)
    assert layout.views(flat.expand(3, 2, -1))["0.weight"].shape == (3, 2, 5, 7)


@pytest.mark.parametrize("rows", range(1, 70))
def test_chunks_cover_all_rows_once_and_only_the_last_is_padded(rows: int) -> None:
    found = chunks(rows, TRACED_SIZES)
    covered = [row for start, size in found for row in range(start, min(start + size, rows))]
    assert covered == list(range(rows))
    assert all(size in TRACED_SIZES for _, size in found)
    assert all(start + size <= rows for start, size in found[:-1])
    assert sum(size for _, size in found) - rows <= 1


def test_padding_repeats_the_last_row() -> None:
    rows = torch.arange(6.0).view(3, 2)
    assert padded(rows, 1, 2).tolist() == [[2, 3], [4, 5]]
    assert padded(rows, 2, 3).tolist() == [[4, 5]] * 3


def test_a_method_of_a_network_is_called_with_given_parameters() -> None:
    network = small()
    layout = Layout(network)
    flat, obs = stack(network, 1)[0], torch.randn(4, 7)
    found = caller(network)(layout.views(flat), obs)
    layout.load(network, flat)
    torch.testing.assert_close(found, network(obs))


ACTIVATIONS = [nn.Tanh(), nn.ReLU(), nn.ELU(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Mish()]
ACTIVATIONS += [nn.Sigmoid(), nn.Softplus(), nn.SELU(), nn.CELU(), nn.LeakyReLU()]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_a_row_has_the_same_bits_at_every_number_of_rows(activation: nn.Module) -> None:
    network = small(activation)
    layout = Layout(network)
    forward = LiftedForward(layout, caller(network))
    flat = stack(network, 9)
    obs = torch.randn(9, ODD[0], ODD[1])
    whole = forward(flat, obs)
    layout.load(network, flat[4])
    torch.testing.assert_close(whole[4], network(obs[4]))
    for row, rows in ((4, 1), (4, 2), (0, 3), (4, 5), (2, 7)):
        part = forward(flat[row : row + rows].clone(), obs[row : row + rows].clone())
        assert torch.equal(part, whole[row : row + rows])


def regression(call: Any, batch: dict[str, Tensor], hp: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    loss = hp["weight"] * ((call(batch["obs"]).squeeze(-1) - batch["target"]) ** 2).mean()
    return loss, torch.stack([loss.detach()])


def updated(activation: nn.Module, rows: list[int], number: int, compile: bool = False) -> Any:
    """Parameters, moments and statistics of `rows` of nine agents after some updates."""
    network = small(activation)
    update = LiftedUpdate(Layout(network), network, regression, compile)
    flat = stack(network, 9)[rows]
    state = AdamState(torch.zeros_like(flat), torch.zeros_like(flat), torch.zeros(len(rows)))
    generator = torch.Generator().manual_seed(1)
    hp = {
        "lr": torch.logspace(-4, -1, 9),
        "grad_clip": torch.linspace(0.1, 2.0, 9),
        "adam_epsilon": torch.full((9,), 1e-5),
        "weight": torch.linspace(0.5, 1.5, 9),
    }
    for _ in range(number):
        batch = {
            "obs": torch.randn(9, ODD[0], ODD[1], generator=generator)[rows],
            "target": torch.randn(9, ODD[0], generator=generator)[rows],
        }
        flat, state, statistics = update(flat, state, batch, {k: v[rows] for k, v in hp.items()})
    return flat, *state, statistics


def test_an_update_of_a_row_is_torch_clip_and_adam() -> None:
    flat, *_, statistics = updated(nn.Tanh(), [3, 6], 4)
    network, layout = small(), Layout(small())
    layout.load(network, stack(network, 9)[6])
    optimiser = torch.optim.Adam(
        network.parameters(), lr=float(torch.logspace(-4, -1, 9)[6]), eps=1e-5
    )
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        obs = torch.randn(9, ODD[0], ODD[1], generator=generator)[6]
        target = torch.randn(9, ODD[0], generator=generator)[6]
        loss = torch.linspace(0.5, 1.5, 9)[6] * ((network(obs).squeeze(-1) - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        limit = float(torch.linspace(0.1, 2.0, 9)[6])
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), limit)
        optimiser.step()
    torch.testing.assert_close(flat[1], layout.flatten(network), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        statistics[1], torch.stack([loss.detach(), norm]), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.SiLU(), nn.ELU()], ids=str)
def test_an_update_has_the_same_bits_at_every_number_of_rows(activation: nn.Module) -> None:
    whole = updated(activation, list(range(8)), 3)
    for rows in ([5, 5], [2, 4, 5, 7]):
        for part, full in zip(updated(activation, rows, 3), whole, strict=True):
            assert torch.equal(part, full[rows])


@pytest.mark.slow
def test_a_compiled_update_agrees_and_has_the_same_bits_at_every_number_of_rows() -> None:
    whole, plain = (updated(nn.SiLU(), list(range(8)), 3, flag) for flag in (True, False))
    part = updated(nn.SiLU(), [5, 6], 3, True)
    for own, full, traced in zip(part, whole, plain, strict=True):
        assert torch.equal(own, full[[5, 6]])
        torch.testing.assert_close(full, traced, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", [Adam(), RMSprop()], ids=["adam", "rmsprop"])
def test_several_updates_in_one_call_are_the_same_updates(rule: Any) -> None:
    network = small()
    update = LiftedUpdate(Layout(network), network, regression, False, rule)
    generator, rows = torch.Generator().manual_seed(1), 4
    flat = stack(network, rows)
    state = rule.fresh(flat)._replace(steps=torch.tensor([0.0, 7.0, 100.0, 5000.0]))
    names = ("grad_clip", "weight", *rule.vectors)
    hp = {name: torch.full((rows,), 0.01) for name in names}
    batches = {
        "obs": torch.randn(37, rows, *ODD[:2], generator=generator),
        "target": torch.randn(37, rows, ODD[0], generator=generator),
    }
    *together, mean = update.several(flat, state, batches, hp)
    found = []
    for i in range(37):
        flat, state, statistics = update(flat, state, {n: x[i] for n, x in batches.items()}, hp)
        found.append(statistics)
    torch.testing.assert_close(mean, torch.stack(found).mean(0))
    assert torch.equal(together[0], flat)
    assert all(torch.equal(a, b) for a, b in zip(together[1], state, strict=True))


def test_a_row_that_becomes_nan_stays_alone() -> None:
    network = small()
    update = LiftedUpdate(Layout(network), network, regression, False)
    flat = stack(network, 2)
    state = AdamState(torch.zeros_like(flat), torch.zeros_like(flat), torch.zeros(2))
    hp = {"lr": 1e-3, "grad_clip": 1.0, "adam_epsilon": 1e-5, "weight": 1.0}
    columns = {name: torch.full((2,), value) for name, value in hp.items()}
    batch = {"obs": torch.randn(2, 21, 7), "target": torch.randn(2, 21)}
    clean, *_ = update(flat, state, batch, columns)
    batch["target"][0, 3] = torch.nan
    found, *_ = update(flat, state, batch, columns)
    assert not found[0].isfinite().any()
    assert torch.equal(found[1], clean[1])
