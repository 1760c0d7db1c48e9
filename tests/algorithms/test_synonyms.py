"""Names from elsewhere lead to ours."""

from __future__ import annotations

import pytest

from algorithms import DQN, PPO, PPOConfig
from algorithms.synonyms import SYNONYMS
from tests.algorithms.agents import TINY
from tunerl.errors import InvalidConfig
from tunerl.trainable import hyperparameters

WANTED = {
    "learning_rate": "lr",
    "batch_size": "minibatch_size",
    "ent_coef": "entropy_coeff",
    "clip_range": "clip_param",
    "gae_lambda": "lambda_",
    "n_epochs": "num_epochs",
    "vf_coef": "vf_loss_coeff",
    "max_grad_norm": "grad_clip",
    "clip_coef": "clip_param",
    "update_epochs": "num_epochs",
}


@pytest.mark.parametrize("name", WANTED)
def test_a_name_of_sb3s_or_cleanrls_leads_to_ours_wherever_it_is_given(name: str) -> None:
    told = f"it is called '{WANTED[name]}' here"
    with pytest.raises(InvalidConfig, match=told):
        PPOConfig().training(**{name: 1})
    with pytest.raises(InvalidConfig, match=told):
        PPO.spec.resolve({**TINY, name: 1})


def test_what_is_no_synonym_gets_the_nearest_name_and_others_what_their_algorithm_has() -> None:
    with pytest.raises(InvalidConfig, match="did you mean 'lr'"):
        PPO.spec.resolve({**TINY, "lrr": 1})
    with pytest.raises(InvalidConfig, match="it is called 'train_batch_size' here"):
        DQN.spec.resolve({"env": "CartPole-v1", "batch_size": 1})


def test_no_synonym_hides_a_hyperparameter() -> None:
    fields = set(hyperparameters(PPO.spec.parameters)) | set(hyperparameters(DQN.spec.parameters))
    assert not fields & set(SYNONYMS)
