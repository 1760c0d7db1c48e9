"""`AlgorithmConfig`: a configuration written step by step, with RLlib's methods.

Invariant: it holds only what was set; a plain value in it has been checked, one drawn from a
search space is checked when it has been drawn.
"""

from __future__ import annotations

import copy as copying
from collections.abc import ItemsView, Iterator, KeysView, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from algorithms import callbacks
from algorithms.core import nets
from algorithms.core.envs.connecting import CONNECTORS
from algorithms.core.packs import own_evaluation
from algorithms.core.specs import names
from algorithms.core.specs.spec import AlgorithmSpec
from algorithms.given import copied, is_domain, is_space, model_settings, set_log_level
from algorithms.keywords import METHODS, MISSING_METHODS, MODEL, ONCE, canonical, foreign_to
from algorithms.offline.spaces_json import plain
from algorithms.older import in_our_words
from algorithms.synonyms import hint
from tunerl.errors import Conflict, InvalidConfig, Problem
from tunerl.hyperparameters import defaults, resolve_fields

if TYPE_CHECKING:
    from algorithms.algorithm import Algorithm

_classes: dict[str, type[AlgorithmConfig]] = {}


class AlgorithmConfig:
    """A configuration of the algorithm `spec`. A subclass needs no more than that attribute.

    Every method changes the configuration and returns it. A value may be a domain of a search
    space (``tunerl.uniform``, ``ray.tune.choice``, ...), also within `model` and `env_config`.
    Raises `InvalidConfig`, with all that is wrong, for unknown names and values out of range.
    """

    spec: ClassVar[AlgorithmSpec]
    _values: dict[str, Any]
    is_frozen: bool

    def __init__(self, algo_class: type[Algorithm] | AlgorithmSpec | None = None) -> None:
        given = algo_class if isinstance(algo_class, AlgorithmSpec) else None
        given = given or getattr(algo_class, "spec", None) or getattr(type(self), "spec", None)
        if not isinstance(given, AlgorithmSpec):
            raise InvalidConfig(
                "AlgorithmConfig alone names no algorithm; use PPOConfig(), or give it an "
                "algorithm: AlgorithmConfig(PPO)"
            )
        object.__setattr__(self, "spec", given)
        object.__setattr__(self, "is_frozen", False)
        object.__setattr__(self, "_values", {})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "spec" in cls.__dict__:
            _classes[cls.spec.name] = cls

    @classmethod
    def of(cls, spec: AlgorithmSpec, values: Mapping[str, Any] | None = None) -> AlgorithmConfig:
        """A configuration of an algorithm, of its own class where it has one."""
        config = _classes.get(spec.name, AlgorithmConfig)(spec)
        return config.update_from_dict(values or {})

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> Self:
        return cls().update_from_dict(config_dict)

    # -- the methods, one a group of settings ---------------------------------------------------

    def environment(self, env: Any = None, **settings: Any) -> Self:
        """`env`: a Gymnasium id, a name given to `register_env`, or a creator ``config -> Env``."""
        given = {} if env is None else {"env": env}
        return self._set("environment", given | settings)

    def framework(self, framework: str = "torch", **settings: Any) -> Self:
        return self._set("framework", {"framework": framework} | settings)

    def resources(self, **settings: Any) -> Self:
        return self._set("resources", settings)

    def api_stack(self, **settings: Any) -> Self:
        return self._set("api_stack", settings)

    def env_runners(self, **settings: Any) -> Self:
        return self._set("env_runners", settings)

    rollouts = env_runners

    def learners(self, **settings: Any) -> Self:
        return self._set("learners", settings)

    def training(self, **settings: Any) -> Self:
        return self._set("training", settings)

    def offline_data(self, **settings: Any) -> Self:
        """`input_`: files to learn from: a path, a glob, a directory, a URL, or a list of them."""
        return self._set("offline_data", settings)

    def evaluation(self, **settings: Any) -> Self:
        """`evaluation_config`: ``explore``, ``env``, ``env_config`` of evaluation.

        `custom_evaluation_function`: ``function(algorithm, env_runner_group)`` that evaluates
        instead, and returns metrics or ``(metrics, env_steps, agent_steps)``.
        """
        return self._set("evaluation", settings)

    def debugging(self, *, log_level: str | None = None, **settings: Any) -> Self:
        """`log_level` holds at once, for what TuneRL logs in this process."""
        if log_level is not None:
            set_log_level(log_level)
        return self._set("debugging", settings)

    def fault_tolerance(self, **settings: Any) -> Self:
        return self._set("fault_tolerance", settings)

    def reporting(self, **settings: Any) -> Self:
        return self._set("reporting", settings)

    def callbacks(self, callbacks_class: Any = None, **functions: Any) -> Self:
        """A class derived from `RLlibCallback`, or several; or functions by hook:
        ``callbacks(on_train_result=lambda result, **kwargs: ...)``. They replace earlier ones."""
        given = functions if callbacks_class is None else callbacks_class
        if callbacks_class is not None and functions:
            raise InvalidConfig(Problem("callbacks", "give classes or functions, not both"))
        return self._set("callbacks", {"callbacks": given})

    def checkpointing(self, **settings: Any) -> Self:
        return self._set("checkpointing", settings)

    def rl_module(
        self,
        *,
        model_config: Any = None,
        module_class: Any = None,
        rl_module_spec: Any = None,
        **settings: Any,
    ) -> Self:
        """`model_config`: settings of the network (a dict, or RLlib's DefaultModelConfig).

        `module_class`: a torch module ``(observation_size, num_outputs, **custom_model_config)``,
        or the name of one given to `register_model`; short for ``model={"custom_model": ...}``.
        `rl_module_spec`: an `RLModuleSpec`, whose module is trained instead of TuneRL's.
        """
        model = model_settings(model_config)
        if rl_module_spec is not None:
            if not hasattr(rl_module_spec, "settings"):
                what = f"got {rl_module_spec!r}; give an RLModuleSpec(module_class=...)"
                raise InvalidConfig(Problem("rl_module_spec", what))
            model |= rl_module_spec.settings()
        if module_class is not None:
            model["custom_model"] = module_class
        return self._set("rl_module", settings)._set(None, {"model": model} if model else {})

    def update_from_dict(self, config_dict: Mapping[str, Any]) -> Self:
        """Any settings by name, whatever method they belong to."""
        if not isinstance(config_dict, Mapping):
            raise InvalidConfig(f"{config_dict!r} is no configuration; give a dict of settings")
        settings = dict(config_dict)
        level = settings.pop("log_level", None)
        if level is not None:
            set_log_level(level)
        return self._set(None, settings)

    # -- reading ----------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What was set, as ``Tuner(param_space=...)`` takes it."""
        return {name: copied(value) for name, value in self._values.items()}

    def get(self, key: str, default: Any = None) -> Any:
        return self._all().get(canonical(key), default)

    def keys(self) -> KeysView[str]:
        return self._all().keys()

    def items(self) -> ItemsView[str, Any]:
        return self._all().items()

    def _all(self) -> dict[str, Any]:
        return defaults(self.spec.parameters) | self._values

    def __getitem__(self, key: str) -> Any:
        """The value set, else the default. Raises `KeyError` for an unknown name."""
        try:
            return self._all()[canonical(key)]
        except KeyError:
            raise KeyError(self._unknown(key)) from None

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and canonical(key) in defaults(self.spec.parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in MISSING_METHODS:
            raise AttributeError(f"there is no {name}(): {MISSING_METHODS[name]}")
        if name not in self:
            raise AttributeError(self._unknown(name))
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self._set(None, {name: value})

    def __setitem__(self, key: str, value: Any) -> None:
        self._set(None, {key: value})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._values})"

    # -- as a whole -------------------------------------------------------------------------------

    def copy(self, copy_frozen: bool | None = None) -> Self:
        """`copy_frozen` None: frozen if this one is."""
        made = copying.copy(self)
        object.__setattr__(made, "_values", self.to_dict())
        frozen = self.is_frozen if copy_frozen is None else copy_frozen
        object.__setattr__(made, "is_frozen", frozen)
        return made

    def freeze(self) -> None:
        """From now on a change raises `Conflict`."""
        object.__setattr__(self, "is_frozen", True)

    def validate(self) -> None:
        """Check everything that is no search space, the environment included."""
        plain = {name: value for name, value in self._values.items() if not is_space(value)}
        model = plain.get("model")
        if isinstance(self._values.get("model"), dict):
            model = {k: v for k, v in self._values["model"].items() if not is_space(v)}
        self.spec.resolve(plain | ({"model": model} if model else {}))

    def resolved(self) -> dict[str, Any]:
        """Every hyperparameter's value. Raises `InvalidConfig` where one is a search space."""
        open_ended = [name for name, value in self._values.items() if is_space(value)]
        if open_ended:
            where = "is a search space; give it to a Tuner, or set one value"
            raise InvalidConfig([Problem(name, where) for name in open_ended])
        return self.spec.resolve(self.to_dict())

    @property
    def algo_class(self) -> type[Algorithm]:
        from algorithms.building import algorithm_class

        return algorithm_class(self.spec)

    def build_algo(self, env: Any = None) -> Algorithm:
        """One agent, ready to `train()`. Raises `InvalidConfig`."""
        return self.algo_class(self, env)

    build = build_algo

    # -- setting ----------------------------------------------------------------------------------

    def _set(self, method: str | None, settings: Mapping[str, Any]) -> Self:
        if settings and self.is_frozen:
            raise Conflict(
                "this configuration is frozen; change a copy of it: copy(copy_frozen=False)"
            )
        accepted: dict[str, Any] = {}
        problems: list[Problem] = []
        for given, value in in_our_words(settings).items():
            name = canonical(given)
            try:
                accepted |= self._checked(method if name == given else None, name, value)
            except InvalidConfig as error:
                problems += error.problems
        if problems:
            raise InvalidConfig(problems)
        self._values.update(accepted)
        return self

    def _checked(self, method: str | None, name: str, value: Any) -> dict[str, Any]:
        """The settings that this one amounts to: one, or none."""
        value, foreign = plain(value), foreign_to(self.spec.parameters)
        if name in foreign and name not in self:
            foreign[name].check(name, value)
            return {}
        if name not in self:
            raise InvalidConfig(Problem(name, self._unknown(name)))
        home = next((m for m, fields in METHODS.items() if name in fields), "training")
        if method not in (None, home, ONCE.get(name)):
            raise InvalidConfig(Problem(name, f"is a setting of .{home}(), not of .{method}()"))
        if name == "model" and isinstance(value, Mapping) and not is_domain(value):
            return {"model": self._model(value)}
        if name == "callbacks":
            value = callbacks.shared_name(value)
            if wrong := list(callbacks.problems(value)):
                raise InvalidConfig(wrong)
        if name in (own_evaluation.FIELD, *CONNECTORS):
            value = names.share(name, value)
        if name == own_evaluation.FIELD and (wrong := list(own_evaluation.problems(value))):
            raise InvalidConfig(wrong)
        if is_space(value):
            return {name: value}
        return {name: resolve_fields(self.spec.parameters, {name: value})[name]}

    def _model(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the network so far, with these."""
        foreign = {name: value for name, value in given.items() if name in MODEL}
        for name, value in foreign.items():
            MODEL[name].check(f"model.{name}", value)
        before = self._values.get("model", {})
        own = {name: value for name, value in given.items() if name not in foreign}
        nets.resolve_model({name: value for name, value in own.items() if not is_space(value)})
        return (before if isinstance(before, dict) and not is_domain(before) else {}) | own

    def _unknown(self, name: str) -> str:
        return f"{self.spec.name} has no setting {name!r}; {hint(name, self.keys())}"
