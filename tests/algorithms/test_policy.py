"""What `Policy` and its model do with RLlib's arguments; a memory's state goes in and out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from algorithms import DQN, PPO
from tests.algorithms.agents import TINY
from tunerl.errors import Conflict, InvalidInput

OBS = np.array([0.1, 0.2, 0.3, 0.4], np.float32)


def test_rllibs_arguments_are_taken_and_what_they_mean_nothing_for_changes_nothing(
    trained: SimpleNamespace,
) -> None:
    agent = trained.algorithm
    plain = agent.compute_single_action(OBS)
    assert plain == agent.compute_single_action(
        OBS, None, 1, 0.5, {"a": 1}, "default_policy", False, None, timestep=3, unsquash_action=True
    )
    action, states, extra = agent.compute_single_action(OBS, [])
    assert (action, states) == (plain, [])
    assert extra["vf_preds"] == agent.compute_single_action(OBS, full_fetch=True)[2]["vf_preds"]
    actions, _, more = agent.compute_actions({"x": OBS, "y": -OBS}, full_fetch=True)
    assert actions["x"] == plain
    assert more["action_dist_inputs"].shape == (2, 2)
    with pytest.raises(InvalidInput, match="did you mean 'timestep'"):
        agent.compute_single_action(OBS, time_step=3)
    with pytest.raises(InvalidInput, match="clip_action=False is not supported"):
        agent.compute_single_action(OBS, clip_action=False)
    with pytest.raises(InvalidInput, match="has no memory"):
        agent.compute_single_action(OBS, [np.zeros(3)])


def test_actions_from_an_input_dict(trained: SimpleNamespace) -> None:
    policy = trained.algorithm.get_policy()
    given = {"obs": np.stack([OBS, -OBS]), "prev_actions": [0, 1], "prev_rewards": [0.0, 1.0]}
    found = policy.compute_actions_from_input_dict(given, explore=False, timestep=4)
    wanted = policy.compute_actions([OBS, -OBS])
    assert np.array_equal(found[0], wanted[0])
    assert np.array_equal(found[2]["action_logp"], wanted[2]["action_logp"])


def test_the_model_and_its_distribution_as_older_programs_use_them(
    trained: SimpleNamespace,
) -> None:
    policy = trained.algorithm.get_policy()
    with pytest.raises(InvalidInput, match="call the model with"):
        trained.algorithm.get_policy().model.value_function()
    logits, state = policy.model({"obs": torch.from_numpy(OBS[None])})
    assert state == []
    logits = logits.detach()
    dist = policy.dist_class(logits, policy.model)
    other = policy.dist_class(torch.zeros(1, 2))
    assert dist.sample().shape == (1,)
    assert {int(other.sample()) for _ in range(50)} == {0, 1}
    assert dist.deterministic_sample() == logits.argmax(-1)
    assert torch.equal(dist.logp(torch.tensor([1])), torch.log_softmax(logits, -1)[:, 1])
    assert float(other.entropy()) == pytest.approx(np.log(2))
    assert float(dist.kl(dist)) == 0.0 < float(other.kl(dist))
    _, _, extra = policy.compute_actions([OBS])
    values = policy.model.value_function().detach()
    assert torch.equal(values, torch.from_numpy(extra["vf_preds"]))


def test_a_policy_is_a_copy_that_can_be_changed_and_does_not_learn_by_itself() -> None:
    with PPO(TINY) as one, PPO(TINY | {"seed": 9}) as other:
        policy, theirs = one.get_policy(), other.get_weights()["default_policy"]
        policy.set_weights(theirs)
        same = {name: np.array_equal(policy.get_state()[name], theirs[name]) for name in theirs}
        assert all(same.values())
        value = [
            float(a.get_policy().compute_actions([OBS])[2]["vf_preds"][0]) for a in (one, other)
        ]
        assert value[0] == value[1]
        one.train()
        with pytest.raises(Conflict, match="a copy of an agent as it was"):
            policy.learn_on_batch({})
        with pytest.raises(InvalidInput, match="do not fit"):
            policy.set_weights({"body": np.zeros(3)})


def test_forward_passes_agree_and_only_training_has_gradients(trained: SimpleNamespace) -> None:
    module = trained.algorithm.get_module()
    batch = {"obs": torch.from_numpy(np.stack([OBS, -OBS]))}
    passes = [module.forward_inference, module.forward_exploration, module.forward_train]
    found = [forward(batch)["action_dist_inputs"] for forward in passes]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2].detach())
    assert [one.requires_grad for one in found] == [False, False, True]
    assert module.get_initial_state() == {}


def test_an_agent_of_values_has_no_value_of_a_state() -> None:
    with DQN({"env": "CartPole-v1", "model": {"fcnet_hiddens": [8]}}) as agent:
        action, _, extra = agent.compute_single_action(OBS, full_fetch=True)
        assert action == extra["action_dist_inputs"].argmax()
        assert "vf_preds" not in extra
        with pytest.raises(InvalidInput, match="there are no values"):
            agent.get_policy().model.value_function()
