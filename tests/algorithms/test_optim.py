"""Clip and Adam of one agent, and lifted over rows, against torch's own optimisers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from algorithms.core.lifting.optim import (
    CLIPS,
    OPTIMISERS,
    AdamState,
    adam,
    bias_corrected,
    clip,
    clip_by_global_norm,
)


def fresh(parameters: Tensor) -> AdamState:
    zeros = torch.zeros_like(parameters)
    return AdamState(zeros, zeros, torch.zeros(parameters.shape[:-1]))


def test_rows_step_like_torch_adam_each_with_its_own_rate_epsilon_and_count() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 11, generator=generator)
    lr, epsilon = torch.tensor([1e-3, 0.1, 3e-4]), torch.tensor([1e-5, 1e-8, 1e-2])
    theirs = [torch.nn.Parameter(row.clone()) for row in start]
    optimisers = [
        torch.optim.Adam([parameter], lr=float(a), eps=float(b))
        for parameter, a, b in zip(theirs, lr, epsilon, strict=True)
    ]
    ours, state = start.clone(), fresh(start)
    for step in range(50):
        gradient = torch.randn(3, 11, generator=generator) * 10.0 ** (step % 5 - 2)
        corrected = bias_corrected(lr, state.steps + 1)
        stepped, after = vmap(adam)(ours, gradient, state, *corrected, epsilon)
        rows = torch.tensor([True, True, step % 2 == 0])  # the last row rests every other time
        ours = torch.where(rows[:, None], stepped, ours)
        pairs = zip(after, state, strict=True)
        state = AdamState(
            *(torch.where(rows.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in pairs)
        )
        for row in range(3):
            if rows[row]:
                theirs[row].grad = gradient[row].clone()
                optimisers[row].step()
    torch.testing.assert_close(
        ours, torch.stack([p.detach() for p in theirs]), rtol=1e-5, atol=1e-6
    )
    assert state.steps.tolist() == [50, 50, 25]


def test_the_first_step_by_hand() -> None:
    # mean = 0.1 g, square = 0.001 g^2, corrected: g and g^2; step = lr * g / (|g| + eps)
    parameters, state = adam(
        torch.tensor([1.0, 1.0]),
        torch.tensor([2.0, -0.5]),
        fresh(torch.zeros(2)),
        *bias_corrected(torch.tensor(0.1), torch.tensor(1.0)),
        torch.tensor(0.5),
    )
    assert parameters.tolist() == pytest.approx([1 - 0.1 * 2 / 2.5, 1 + 0.1 * 0.5 / 1.0], rel=1e-5)
    assert state.mean.tolist() == pytest.approx([0.2, -0.05])
    assert state.square.tolist() == pytest.approx([0.004, 0.00025])


def test_bias_correction_stays_exact_after_many_steps() -> None:
    state = AdamState(torch.ones(1), torch.ones(1), torch.tensor(99_999.0))
    corrected = bias_corrected(torch.tensor(0.1), state.steps + 1)
    parameters, _ = adam(torch.zeros(1), torch.ones(1), state, *corrected, torch.tensor(0.0))
    assert parameters.item() == pytest.approx(-0.1, rel=1e-5)  # both corrections have gone


@pytest.mark.parametrize("limit", [0.1, 1.0, 1e3])
def test_rows_are_clipped_like_clip_grad_norm(limit: float) -> None:
    gradient = torch.randn(4, 9, generator=torch.Generator().manual_seed(1)) * 3.0
    ours, norms = vmap(clip_by_global_norm)(gradient, torch.full((4,), limit))
    for row in range(4):
        theirs = torch.nn.Parameter(torch.zeros(9))
        theirs.grad = gradient[row].clone()
        norm = torch.nn.utils.clip_grad_norm_([theirs], limit)
        torch.testing.assert_close(ours[row], theirs.grad)
        torch.testing.assert_close(norms[row], norm)


def test_each_row_has_its_own_limit_and_infinity_is_none() -> None:
    gradient = torch.tensor([[3.0, 4.0]]).expand(3, 2)
    clipped, norms = vmap(clip_by_global_norm)(gradient, torch.tensor([1.0, 10.0, torch.inf]))
    assert norms.tolist() == [5.0, 5.0, 5.0]
    torch.testing.assert_close(clipped, torch.tensor([[0.6, 0.8], [3.0, 4.0], [3.0, 4.0]]))
    zero, norm = clip_by_global_norm(torch.zeros(2), torch.tensor(torch.inf))
    assert (zero.tolist(), norm.item()) == ([0.0, 0.0], 0.0)


def test_each_parameter_is_clipped_by_its_own_norm() -> None:
    # parameters of 2, 1 and 2 elements with norms 5, 2 and 0.5; limit 1
    gradient = torch.tensor([3.0, 4.0, -2.0, 0.3, 0.4])
    clipped, norm = clip(gradient, torch.tensor(1.0), "norm", (2, 1, 2))
    torch.testing.assert_close(clipped, torch.tensor([0.6, 0.8, -1.0, 0.3, 0.4]))
    assert norm.item() == pytest.approx((25 + 4 + 0.25) ** 0.5)


def test_each_element_is_clipped_by_value_and_an_infinite_limit_changes_nothing() -> None:
    gradient = torch.tensor([3.0, -4.0, 0.5])
    clipped, norm = clip(gradient, torch.tensor(1.0), "value", (1, 2))
    assert clipped.tolist() == [1.0, -1.0, 0.5]
    assert norm.item() == pytest.approx(25.25**0.5)
    for by in CLIPS:
        untouched, _ = clip(gradient, torch.tensor(torch.inf), by, (1, 2))
        assert untouched.tolist() == gradient.tolist()


def test_clipping_by_global_norm_is_what_is_done_by_that_name() -> None:
    gradient = torch.tensor([3.0, 4.0])
    clipped, _ = clip(gradient, torch.tensor(1.0), "global_norm", (1, 1))
    torch.testing.assert_close(clipped, torch.tensor([0.6, 0.8]))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rows_step_like_torch_rmsprop_each_with_its_own_settings(momentum: float) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 11, generator=generator)
    lr, decay = torch.tensor([1e-3, 0.1, 3e-4]), torch.tensor([0.99, 0.9, 0.5])
    epsilon, pushes = torch.tensor([1e-5, 0.1, 1e-8]), torch.full((3,), momentum)
    theirs = [torch.nn.Parameter(row.clone()) for row in start]
    optimisers = [
        torch.optim.RMSprop([p], lr=float(a), alpha=float(b), eps=float(c), momentum=momentum)
        for p, a, b, c in zip(theirs, lr, decay, epsilon, strict=True)
    ]
    rule = OPTIMISERS["rmsprop"]
    hp = {"lr": lr, "decay": decay, "epsilon": epsilon, "momentum": pushes}
    ours, state = start.clone(), rule.fresh(start)
    for _ in range(30):
        gradient = torch.randn(3, 11, generator=generator)
        ours, state = vmap(rule.step)(ours, gradient, state, rule.prepared(hp, state))
        for row in range(3):
            theirs[row].grad = gradient[row].clone()
            optimisers[row].step()
    torch.testing.assert_close(
        ours, torch.stack([p.detach() for p in theirs]), rtol=1e-5, atol=1e-6
    )
    assert state.steps.tolist() == [30, 30, 30]


def test_rmsprop_as_tensorflow_has_it_by_hand() -> None:
    # mean square begins at 1: 0.9 + 0.1 * 4 = 1.3; root of 1.3 + 0.14 is 1.2; step 0.1 * 2 / 1.2
    rule = OPTIMISERS["rmsprop_tf"]
    start = torch.ones(1)
    hp = {
        name: torch.tensor(value)
        for name, value in (("lr", 0.1), ("decay", 0.9), ("epsilon", 0.14), ("momentum", 0.0))
    }
    after, state = rule.step(start, torch.tensor([2.0]), rule.fresh(start), hp)
    assert after.item() == pytest.approx(1 - 0.2 / 1.2)
    assert state.square.item() == pytest.approx(1.3)
