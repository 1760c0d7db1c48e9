"""`Algorithm`: one agent to train, evaluate, ask for actions, save and restore: a pack of one.

Invariant: asking it for anything changes none of its training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from algorithms import building, lone, saved
from algorithms.agent import Agent
from algorithms.core.packs.iteration import evaluate
from algorithms.core.specs.names import plain
from algorithms.module import DEFAULT_POLICY, Module, Weights
from algorithms.policy import Policy, check_policy, with_weights
from algorithms.results import ResultDict
from tunerl.errors import InvalidInput, TrainableError, nearest
from tunerl.hyperparameters import resolve_fields
from tunerl.trainable import Failure

if TYPE_CHECKING:
    from algorithms.sampling.group import EnvRunnerGroup
    from algorithms.sampling.of_agent import Runners
    from algorithms.sampling.runner import EnvRunner


class Algorithm(Agent):
    """One agent of the algorithm `spec`. A subclass needs no more than that attribute.

    `config`: a configuration object or a dict of settings; `env` goes before the one it names.
    `seed`: the agent's; by default that of ``debugging(seed=...)``, else one that it draws.
    Raises `InvalidConfig`. Usable as a context manager, which calls `stop` at its end.

    A subclass with a `training_step` of its own is an algorithm of its own, under the name of the
    class; a sweep trains each agent of it by itself.
    """

    _run = ""  # where its checkpoints go by themselves

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.training_step is not Algorithm.training_step
        if "spec" not in cls.__dict__ and own and hasattr(cls, "spec"):
            cls.spec = cls.spec.named(cls.__name__)
        if "spec" in cls.__dict__:
            cls.spec.kind = cls if own else None
            building.classes[cls.spec.name] = cls

    # -- training -------------------------------------------------------------------------------

    def train(self) -> ResultDict:
        """One training iteration; its metrics and the configuration.

        Raises `TrainableError` when the agent fails (its environment raises, its loss is NaN): it
        can then only be restored, or stopped.
        """
        self._own()
        self._member()
        own = type(self).training_step is not Algorithm.training_step
        result = lone.counted(self) if own else self.training_step()
        self._policy = None
        result["config"] = plain(self._settings)
        return result

    def training_step(self) -> ResultDict:
        """What one iteration does; its metrics, nested or flat. A subclass may say it anew."""
        pack = self._member()
        if self.config.get("num_env_runners") or self.config.get("num_learners"):
            self._runners.begin()
        report = pack.step()[self._id]
        if isinstance(report, Failure):
            self._failed = report
            raise TrainableError(f"{self.name} failed: {report.error}\n{report.traceback}")
        more = self.runners.metrics() if self.runners is not None else {}
        return ResultDict.nested(report | more)

    def learn_on_batch(self, samples: Any) -> dict[str, float]:
        """One update on a batch of steps that somebody sampled; the statistics of its loss.

        See `algorithms.sampling.one_update.learn_on_batch`: what a batch holds, what is raised.
        """
        from algorithms.sampling import one_update

        self._own()
        return one_update.learn_on_batch(self._member(), samples)

    def weights_now(self) -> Weights:
        """The agent's own parameters by name, whatever was done to a policy that it gave."""
        pack, row = self.seat()
        views = pack.layout.views(pack.flat[row])
        return {name: view.numpy().copy() for name, view in views.items()}

    def update_target(self) -> None:
        """Bring the target network of an off-policy agent the share `tau` of the way."""
        from algorithms.sampling import one_update

        self._own()
        one_update.update_target(self._member())

    @property
    def _runners(self) -> Runners:
        if self.runners is None:
            from algorithms.sampling.of_agent import Runners

            self.runners = Runners(self)
        return self.runners

    @property
    def env_runner_group(self) -> EnvRunnerGroup:
        """Its environment runners, with its weights: a local one, and those in actors."""
        return self._runners.group

    workers = env_runner_group

    @property
    def env_runner(self) -> EnvRunner:
        """The local environment runner, with environments of its own."""
        found: EnvRunner = self._runners.group.local_env_runner
        return found

    def evaluate(
        self,
        duration: int | None = None,
        unit: str | None = None,
        seed: int | None = None,
        *,
        explore: bool | None = None,
        duration_fn: Callable[[int], int] | None = None,
        evaluation_fn: Callable[..., Any] | None = None,
    ) -> ResultDict:
        """Play in environments of its own; ``["env_runners"]["episode_return_mean"]`` and so on.

        `duration`: of what `unit` says ("episodes" or "timesteps"). `explore`: sampled instead of
        the likeliest actions. What is not given is as configured. Equal seeds give equal numbers;
        None is the agent's own. `duration_fn`: told how much was played, how much more is to be,
        instead of `duration`. `evaluation_fn` evaluates instead, as the
        `custom_evaluation_function` of the configuration does where nothing but a seed is given.
        """
        pack = self._member()
        given = {
            "evaluation_duration": duration,
            "evaluation_duration_unit": unit,
            "evaluation_explore": explore,
        }
        given = {name: value for name, value in given.items() if value is not None}
        resolve_fields(self.config.spec.parameters, given)
        how = {"duration": duration, "unit": unit, "explore": explore, "more": duration_fn}
        if evaluation_fn is not None and any(value is not None for value in how.values()):
            raise InvalidInput("evaluation_fn evaluates by itself; give nothing else but a seed")
        seed = self._seed if seed is None else seed
        metrics = evaluate(pack, self._id, seed=seed, function=evaluation_fn, **how)
        return ResultDict.nested(metrics)

    # -- acting ---------------------------------------------------------------------------------

    def compute_single_action(
        self,
        observation: Any,
        state: Any = None,
        prev_action: Any = None,
        prev_reward: Any = None,
        info: Any = None,
        policy_id: str = DEFAULT_POLICY,
        full_fetch: bool = False,
        explore: bool | None = False,
        **known: Any,
    ) -> Any:
        """The action for one observation, as the environment takes it: the likeliest one.

        `explore`: a sampled one. With `full_fetch`, or where a `state` is given, a triple: the
        action, the state after it (as the next call takes it), and what the network said. An
        episode begins with ``get_policy().get_initial_state()``. `known`: RLlib's `timestep`,
        `episode` and the like, which change nothing. Raises `InvalidInput` for no observation.
        """
        _unused(known)
        found = self.get_policy(policy_id).compute_single_action(
            observation, state, prev_action, prev_reward, explore=explore
        )
        return found if full_fetch or state is not None else found[0]

    def compute_actions(
        self,
        observations: Any,
        state: Any = None,
        prev_action: Any = None,
        prev_reward: Any = None,
        info: Any = None,
        policy_id: str = DEFAULT_POLICY,
        full_fetch: bool = False,
        explore: bool | None = False,
        **known: Any,
    ) -> Any:
        """Actions for several observations: an array for a sequence or an array of them, a
        dictionary for a dictionary of them by any key; as a triple where `compute_single_action`
        gives one, with the states of all side by side."""
        _unused(known)
        policy, keys = self.get_policy(policy_id), None
        if isinstance(observations, Mapping):
            keys, observations = list(observations), list(observations.values())
        actions, *rest = policy.compute_actions(
            observations, state, prev_action, prev_reward, explore=explore
        )
        named = actions if keys is None else dict(zip(keys, actions, strict=True))
        return (named, *rest) if full_fetch or state is not None else named

    def export_policy_model(
        self, export_dir: Any, policy_id: str = DEFAULT_POLICY, onnx: int | None = None
    ) -> str:
        """Write the network as ``model.pt`` (TorchScript), or with `onnx` (a version of ONNX's
        operators, such as 18) as ``model.onnx``; its path. See `algorithms.exporting`."""
        return self.get_policy(policy_id).export_model(export_dir, onnx)

    def get_policy(self, policy_id: str = DEFAULT_POLICY) -> Policy:
        """The agent as it is now; training does not change what was handed out."""
        check_policy(policy_id)
        if self._has_changed() or self._policy is None:
            pack = self._member()
            actor = pack.actor(self.record)
            self._policy = Policy(pack, self._state(), self._generator, actor, self)
        return self._policy

    def get_module(self, module_id: str = DEFAULT_POLICY) -> Module:
        """Its network with a copy of its present weights, a torch module."""
        return self.get_policy(module_id).model

    def get_weights(self) -> dict[str, Weights]:
        """``{"default_policy": {name: array}}``."""
        return {DEFAULT_POLICY: self.get_policy().get_weights()}

    def set_weights(self, weights: Mapping[str, Mapping[str, Any]]) -> None:
        """The inverse of `get_weights`. Raises `InvalidInput` for those of another network."""
        if set(weights) != {DEFAULT_POLICY}:
            raise InvalidInput(f"give {{{DEFAULT_POLICY!r}: weights}}, as get_weights() does")
        pack, state = self._member(), self._state()
        state.arrays["parameters"] = with_weights(pack, weights[DEFAULT_POLICY])
        pack.write(self._id, state)
        self._policy = None

    # -- saving ---------------------------------------------------------------------------------

    def save(self, checkpoint_dir: Any = None) -> saved.SavedPath:
        """Write its full state; the path. A checkpoint that lies in `checkpoint_dir` is replaced.

        Without a directory: a new one below ``$TUNERL_HOME/algorithms`` (``~/.tunerl``).
        Raises `CheckpointError` where something else lies there, `StorageFull`.
        """
        state = self.get_state()
        if checkpoint_dir is None:
            self._run = self._run or saved.new_run(self.name)
            checkpoint_dir = f"{self._run}/checkpoint_{self.iteration:06d}"
        return saved.save(state.pop("state"), saved.uri_of(checkpoint_dir), state)

    def restore(self, checkpoint: Any, *, replica: int | None = None) -> None:
        """Go on from a checkpoint (anything that `from_checkpoint` takes) of an agent like this.

        Raises `CheckpointError` for one of another algorithm or network, and stays as it was.
        """
        state, meta = saved.load(checkpoint, replica)
        self.set_state({**meta, "state": state})

    save_to_path = save
    restore_from_path = restore

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Any, *, replica: int | None = None, config: Any = None
    ) -> Algorithm:
        """The agent of a checkpoint, of whatever algorithm wrote it.

        `checkpoint`: a directory, a URL, a zip file, or a Result or Checkpoint of a sweep.
        `replica`: which one, where there are several; None: that with the best mean return.
        `config`: settings that differ from the saved ones. An environment or network that was given
        as a class is found again where this program has used it, else it is to be given here.
        Raises `CheckpointError`, `CorruptCheckpoint`.
        """
        made: Algorithm = building.of_checkpoint(cls, checkpoint, replica, config)
        return made


def _unused(known: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` for what is no argument of RLlib's, or asks for what is not done."""
    nothing = ("timestep", "episode")
    always = ("unsquash_action", "unsquash_actions", "clip_action", "clip_actions")
    for name, value in known.items():
        if name not in (*nothing, *always):
            raise InvalidInput(f"there is no argument {name!r}; {nearest(name, nothing + always)}")
        if name in always and value is False:
            raise InvalidInput(
                f"{name}=False is not supported: actions are those that the environment takes; "
                "set normalize_actions and clip_actions of the configuration"
            )
