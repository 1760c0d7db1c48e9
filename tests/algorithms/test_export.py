"""Exported agents act as the agents do, without TuneRL."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import DQN, PPO, Algorithm
from algorithms.policy import Policy
from tests.algorithms import support  # noqa: F401  (registers the probes)
from tests.algorithms.agents import TINY
from tunerl.errors import InvalidInput

CASES: dict[str, dict[str, Any]] = {
    "filtered": {"env": "CartPole-v1", "observation_filter": "MeanStdFilter"},
    "continuous": {"env": "Pendulum-v1", "normalize_actions": True},
    "dictionary": {"env": "test-algorithm/parts"},
}


def agent_of(case: str) -> Algorithm:
    if case == "values":
        return DQN({"env": "CartPole-v1", "model": {"fcnet_hiddens": [8]}, "seed": 1})
    agent = PPO(TINY | CASES[case])
    agent.train()
    return agent


def observations(policy: Policy) -> tuple[list[Any], np.ndarray[Any, Any]]:
    """Some, as the environment gives them and as the exported graph takes them."""
    space: Any = policy.observation_space
    space.seed(3)
    found = [space.sample() for _ in range(7)]
    if space.shape is None:
        return found, policy.encode(found)
    found = [np.clip(one, -3, 3) for one in found]
    return found, np.stack(found).astype(np.float32)


def run_torch(path: str, given: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of TorchScript's future
        loaded = torch.jit.load(path)
    return [part.numpy() for part in loaded(torch.from_numpy(given))]


def run_onnx(path: str, given: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    assert [one.name for one in session.get_inputs()] == ["obs"]
    assert [one.name for one in session.get_outputs()] == ["action_dist_inputs", "actions"]
    found: list[np.ndarray[Any, Any]] = session.run(None, {"obs": given})
    return found


def agrees(agent: Algorithm, run: Any, path: str) -> None:
    policy = agent.get_policy()
    raw, given = observations(policy)
    actions, _, extra = policy.compute_actions(raw)
    inputs, found = run(path, given)
    assert np.allclose(inputs, extra["action_dist_inputs"], atol=1e-5)
    if actions.dtype.kind == "f":
        assert np.allclose(found, actions, atol=1e-5)
        assert len(np.unique(found)) > 1
    else:
        assert np.array_equal(found, actions)
    assert policy.action_space.contains(found[0].astype(policy.action_space.dtype))
    assert np.array_equal(run(path, given[:1])[1], found[:1])  # of any number of observations


@pytest.mark.parametrize("case", [*CASES, "values"])
def test_torchscript_acts_as_the_agent_does(case: str, tmp_path: Path) -> None:
    with agent_of(case) as agent:
        path = agent.export_policy_model(tmp_path / "new")
        assert path == str(tmp_path / "new" / "model.pt")
        agrees(agent, run_torch, path)


@pytest.mark.parametrize(("case", "opset"), [("filtered", 18), ("continuous", 20), ("values", 18)])
def test_onnx_acts_as_the_agent_does(case: str, opset: int, tmp_path: Path) -> None:
    import onnx

    with agent_of(case) as agent:
        path = agent.export_policy_model(tmp_path, onnx=opset)
        assert onnx.load(path).opset_import[0].version == opset
        assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
        agrees(agent, run_onnx, path)


def test_what_cannot_be_exported_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PPO(TINY) as agent:
        for opset in (9, 99, True):
            with pytest.raises(InvalidInput, match="give an opset from 18 to 23"):
                agent.get_policy().export_model(tmp_path, onnx=opset)
        monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
        with pytest.raises(InvalidInput, match=r"pip install tunerl\[onnx\]"):
            agent.export_policy_model(tmp_path, onnx=18)
    assert list(tmp_path.iterdir()) == []


CELL = {"fcnet_hiddens": [8], "lstm_cell_size": 4}
TOLD = {"lstm_use_prev_action": True, "lstm_use_prev_reward": True}
REMEMBERING: dict[str, dict[str, Any]] = {
    "filtered": CASES["filtered"] | {"model": CELL | {"use_lstm": True}},
    "choices": {
        "env": "probe/choices",
        "model": CELL | TOLD | {"use_gru": True, "vf_share_layers": False},
    },
    "continuous": CASES["continuous"] | {"model": CELL | TOLD | {"use_lstm": True}},
}


def runner(path: str) -> Any:
    """What is exported, as a function of arrays by name to arrays."""
    if path.endswith(".onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        assert [one.name for one in session.get_outputs()][-1] == "state_out"
        return lambda given: session.run(None, given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(path)
    return lambda given: [part.numpy() for part in loaded(*map(torch.from_numpy, given.values()))]


@pytest.mark.parametrize("opset", [None, 18], ids=["torchscript", "onnx"])
@pytest.mark.parametrize("case", REMEMBERING)
def test_an_agent_with_a_memory_acts_alike_step_by_step(
    case: str, opset: int | None, tmp_path: Path
) -> None:
    with PPO(TINY | REMEMBERING[case]) as agent:
        policy = agent.get_policy()
        run = runner(agent.export_policy_model(tmp_path, onnx=opset))
        raw, given = observations(policy)
        state = policy.get_initial_state()
        own, none = state[0][None], -1 if case == "choices" else np.nan
        shape: Any = policy.action_space.shape
        kind = np.int64 if case == "choices" else np.float32
        before, reward = np.full((1, *shape), none, kind), np.zeros(1, np.float32)
        previous: Any = (None, None)
        for step, one in enumerate(raw):
            action, state, extra = policy.compute_single_action(one, state, *previous)
            asked = {"obs": given[step : step + 1], "state_in": own}
            if case != "filtered":
                asked |= {"prev_actions": before, "prev_rewards": reward}
            inputs, actions, own = run(asked)
            assert np.allclose(inputs[0], extra["action_dist_inputs"], atol=1e-5)
            assert np.allclose(actions[0], action, atol=1e-5)
            assert np.allclose(own[0], state[0], atol=1e-5)
            assert own.any()
            previous = (action, 0.5 * step)
            before, reward = actions.astype(kind), np.full(1, 0.5 * step, np.float32)
        five = {name: np.repeat(value, 5, 0) for name, value in asked.items()}
        assert np.allclose(run(five)[0], np.repeat(inputs, 5, 0), atol=1e-5)
