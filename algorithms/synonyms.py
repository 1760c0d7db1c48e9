"""What hyperparameters are called elsewhere (SB3, CleanRL, papers), for hints on unknown names."""

from __future__ import annotations

from collections.abc import Collection

from tunerl.errors import nearest

SYNONYMS: dict[str, tuple[str, ...]] = {
    "learning_rate": ("lr", "actor_lr"),
    "step_size": ("lr", "actor_lr"),
    "alpha_learning_rate": ("alpha_lr",),
    "policy_lr": ("actor_lr", "lr"),
    "policy_learning_rate": ("actor_lr", "lr"),
    "q_lr": ("critic_lr", "lr"),
    "batch_size": ("minibatch_size", "train_batch_size"),
    "mini_batch_size": ("minibatch_size", "train_batch_size"),
    "num_minibatches": ("minibatch_size",),
    "n_minibatches": ("minibatch_size",),
    "num_steps": ("train_batch_size", "rollout_fragment_length"),
    "rollout_length": ("rollout_fragment_length", "train_batch_size"),
    "n_epochs": ("num_epochs",),
    "epochs": ("num_epochs",),
    "update_epochs": ("num_epochs",),
    "ent_coef": ("entropy_coeff", "initial_alpha"),
    "entropy_coef": ("entropy_coeff",),
    "entropy_cost": ("entropy_coeff",),
    "vf_coef": ("vf_loss_coeff", "vf_coeff"),
    "value_coef": ("vf_loss_coeff", "vf_coeff"),
    "clip_range": ("clip_param",),
    "clip_coef": ("clip_param",),
    "clip_ratio": ("clip_param",),
    "clip_epsilon": ("clip_param",),
    "clip_range_vf": ("vf_clip_param",),
    "clip_vloss": ("vf_clip_param",),
    "gae_lambda": ("lambda_",),
    "gae_lam": ("lambda_",),
    "max_grad_norm": ("grad_clip",),
    "normalize_advantage": ("normalize_advantages",),
    "norm_adv": ("normalize_advantages",),
    "discount": ("gamma",),
    "discount_factor": ("gamma",),
    "n_envs": ("num_envs_per_env_runner",),
    "num_envs": ("num_envs_per_env_runner",),
    "env_id": ("env",),
    "gym_id": ("env",),
    "buffer_size": ("replay_buffer_capacity",),
    "learning_starts": ("num_steps_sampled_before_learning_starts",),
    "target_update_interval": ("target_network_update_freq",),
    "target_network_frequency": ("target_network_update_freq",),
    "train_freq": ("training_intensity",),
    "gradient_steps": ("training_intensity",),
    "train_frequency": ("training_intensity",),
    "exploration_fraction": ("epsilon",),
    "exploration_final_eps": ("epsilon",),
    "rmsprop_eps": ("epsilon", "adam_epsilon"),
    "adam_eps": ("adam_epsilon",),
    "ent_coef_init": ("initial_alpha",),
    "policy_kwargs": ("model",),
    "net_arch": ("model",),
    "hidden_sizes": ("model",),
    "hidden_size": ("model",),
    "hidden_dim": ("model",),
    "hidden_layers": ("model",),
    "fcnet_hiddens": ("model",),
    "fcnet_activation": ("model",),
    "activation": ("model",),
    "activation_fn": ("model",),
    "network": ("model",),
    "epsilon_clip": ("clip_param",),
    "eps_clip": ("clip_param",),
    "clip_eps": ("clip_param",),
    "value_loss_coef": ("vf_loss_coeff", "vf_coeff"),
    "entropy_weight": ("entropy_coeff",),
    "environment": ("env",),
    "env_name": ("env",),
    "environment_name": ("env",),
    "num_env": ("num_envs_per_env_runner",),
    "n_workers": ("num_env_runners",),
    "policy_freq": ("target_network_update_freq",),
    "target_kl_divergence": ("target_kl",),
}
"""Name elsewhere -> names here, the most likely first."""


def hint(name: str, known: Collection[str]) -> str:
    """What an unknown hyperparameter may have meant, of those that are `known`."""
    for candidate in SYNONYMS.get(name, ()):
        if candidate in known:
            return f"it is called {candidate!r} here"
    return nearest(name, known)
