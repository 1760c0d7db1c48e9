"""Callbacks that raise, that cannot be called, that are in a sweep or in a pack with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from algorithms import PPO, Algorithm, PPOConfig, RLlibCallback
from algorithms.callbacks import HOOKS, REFUSED
from tests.algorithms.agents import TINY
from tests.algorithms.support import open_pack, tiny
from tests.algorithms.support import timeless as outcome_of
from tunerl import RunConfig, Tuner
from tunerl.errors import Conflict, InvalidConfig, TrainableError
from tunerl.runtime.ray import RayRuntime
from tunerl.space import grid_search
from tunerl.trainable import Failure
from tunerl.trial import ReplicaId

ONE, TWO = ReplicaId(0, 0), ReplicaId(1, 0)


def failing(hook: str) -> type[RLlibCallback]:
    """Raises in one hook, at once."""

    def raises(self: Any, **kwargs: Any) -> None:
        raise KeyError("nowhere")

    return type("Failing", (RLlibCallback,), {hook: raises})


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if "recreated" not in hook])
def test_a_hook_that_raises_fails_its_agent_with_a_message_that_names_it(
    hook: str, tmp_path: Path
) -> None:
    config = {**TINY, "evaluation_interval": 1, "evaluation_duration": 1}
    with PPO(config) as plain:
        path = plain.save(tmp_path)
    told = rf"callback {hook} \(Failing.{hook}\) raised KeyError: 'nowhere'"

    def run() -> None:
        with PPO({**config, "callbacks": failing(hook)}) as agent:
            agent.restore(path)
            agent.train()

    with pytest.raises(TrainableError, match=told):
        run()


def test_in_a_pack_only_the_one_whose_hook_raises_fails() -> None:
    class Picky(RLlibCallback):
        def on_episode_step(self, *, episode: Any, env_runner: Any, **kwargs: Any) -> None:
            if env_runner.config.gamma == 0.5 and episode.length == 3:
                raise RuntimeError("not this one")

    config = tiny(env="probe/grid", callbacks=Picky)
    pack, alone = open_pack(config), open_pack(config)
    pack.join(ONE, config | {"gamma": 0.5}, 0)
    pack.join(TWO, config, 1)
    alone.join(TWO, config, 1)
    reports = pack.step()
    failed = reports[ONE]
    assert isinstance(failed, Failure)
    assert "callback on_episode_step (" in failed.error
    assert "RuntimeError: not this one" in failed.traceback
    assert outcome_of(reports[TWO]) == outcome_of(alone.step()[TWO])
    assert pack.ids == [TWO]
    pack.close()
    alone.close()


def test_each_member_has_callbacks_of_its_own_whoever_comes_and_goes() -> None:
    class Counting(RLlibCallback):
        def __init__(self) -> None:
            self.episodes = 0

        def on_episode_end(self, *, metrics_logger: Any, **kwargs: Any) -> None:
            self.episodes += 1
            metrics_logger.log_value("counted", self.episodes, reduce="item")

    config = tiny(env="probe/grid", callbacks=Counting)
    pack, alone = open_pack(config), open_pack(config)
    alone.join(TWO, config, 1)
    pack.join(ONE, config, 0)
    pack.join(TWO, config, 1)
    for turn in range(3):
        if turn == 2:
            pack.leave(ONE)
        one, other = pack.step()[TWO], alone.step()[TWO]
        assert outcome_of(one) == outcome_of(other)
        counted = outcome_of(one)
        assert counted["env_runners/counted"] == counted["env_runners/num_episodes_lifetime"]
    pack.close()
    alone.close()


class Sweeping(RLlibCallback):
    """Looks at its agent, changes it, and tries what a guest may not do."""

    def on_algorithm_init(self, *, algorithm: Any, **kwargs: Any) -> None:
        self.first = algorithm.get_weights()

    def on_train_result(self, *, algorithm: Any, result: Any, **kwargs: Any) -> None:
        assert isinstance(algorithm, PPO)
        for forbidden in (algorithm.train, algorithm.stop):
            try:
                forbidden()
            except Conflict:
                result["refused"] = result.get("refused", 0) + 1
        result["gamma"] = algorithm.config.gamma
        result["length"] = algorithm.evaluate(2)["env_runners"]["episode_len_mean"]
        algorithm.set_weights(self.first)

    def on_episode_end(self, *, episode: Any, metrics_logger: Any, **kwargs: Any) -> None:
        metrics_logger.log_value("longest", len(episode), reduce="max")


def shows(results: Any) -> None:
    assert not results.errors
    for result in results:
        assert result.metrics["refused"] == 2
        assert result.metrics["gamma"] == result.config["gamma"]
        assert result.metrics["length"] > 0
        assert result.metrics["env_runners/longest"] >= 8
        with Algorithm.from_checkpoint(result.checkpoint) as agent, PPO({**TINY, "seed": 3}) as new:
            assert agent.iteration == 2
            assert agent.train()["refused"] == 2
            assert set(new.get_weights()) == set(agent.get_weights())


def test_callbacks_work_in_a_sweep_as_a_class_and_by_name(ray_runtime: RayRuntime) -> None:
    mine = type("Mine", (Sweeping,), {"__module__": "__main__"})  # as in a script
    config = PPOConfig.from_dict(TINY).callbacks(mine).training(gamma=grid_search([0.8, 0.9]))
    assert isinstance(config.to_dict()["callbacks"], str)
    run = RunConfig(verbose=0, stop={"training_iteration": 2}, runtime=ray_runtime)
    shows(Tuner("PPO", param_space=config, run_config=run).fit())


def test_callbacks_work_in_a_sweep_of_this_process() -> None:
    run = RunConfig(verbose=0, stop={"training_iteration": 2}, runtime="local")
    space = {**TINY, "callbacks": Sweeping, "gamma": grid_search([0.8, 0.9])}
    shows(Tuner("PPO", param_space=space, run_config=run).fit())


def test_an_agent_cannot_be_changed_while_it_collects() -> None:
    def on_episode_end(algorithm: Any) -> None:
        algorithm.set_weights(algorithm.get_weights())

    config = PPOConfig.from_dict(TINY).callbacks(on_episode_end=on_episode_end)
    with (
        config.build_algo() as agent,
        pytest.raises(TrainableError, match="change it in on_train_result"),
    ):
        agent.train()


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("hook", REFUSED)
def test_a_hook_that_would_never_be_called_is_refused(hook: str) -> None:
    kind = type("Old", (RLlibCallback,), {hook: lambda self, **kwargs: None})
    with pytest.raises(InvalidConfig, match=f"Old.{hook} would never be called: "):
        PPOConfig().callbacks(kind)
    with pytest.raises(InvalidConfig, match=f"{hook} would never be called: "):
        PPOConfig().callbacks(**{hook: print})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"on_train_results": print}, "did you mean 'on_train_result'"),
        ({"on_train_result": 3}, "on_train_result=3 is no function"),
        ({"callbacks_class": 3}, "3 is no class"),
        ({"callbacks_class": print}, "is no class; functions are given by hook"),
        ({"callbacks_class": "mine.Callbacks"}, "'mine.Callbacks' is not known here"),
        ({"callbacks_class": Sweeping, "on_train_result": print}, "not both"),
    ],
)
def test_what_are_no_callbacks_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        PPOConfig().callbacks(**given)
    if "not both" not in message:
        value = given.get("callbacks_class", given)
        with pytest.raises(InvalidConfig, match=message):
            PPO.spec.resolve({**TINY, "callbacks": value})


def test_two_classes_of_one_name_do_not_mix() -> None:
    def made(word: str) -> type[RLlibCallback]:
        class Same(RLlibCallback):
            def on_train_result(self, *, result: Any, **kwargs: Any) -> None:
                result["word"] = word

        return Same

    words = []
    for config in [PPOConfig.from_dict(TINY).callbacks(made(word)) for word in ("one", "two")]:
        with config.build_algo() as agent:
            words.append(agent.train()["word"])
    assert words == ["one", "two"]


def test_several_classes_and_functions_are_all_called() -> None:
    def adding(name: str) -> Any:
        return lambda result, **kwargs: result.update({name: 1})

    class Third(RLlibCallback):
        def on_train_result(self, *, result: Any, **kwargs: Any) -> None:
            result["third"] = 1

    functions = PPOConfig.from_dict(TINY).callbacks(on_train_result=[adding("a"), adding("b")])
    classes = PPOConfig.from_dict(TINY).callbacks([Third, Sweeping])
    with functions.build_algo() as one, classes.build_algo() as other:
        assert {"a", "b"} < set(one.train())
        assert other.train()["third"] == 1


def test_episodes_are_followed_only_where_a_hook_asks_for_them() -> None:
    given = (None, {"on_train_result": reported}, {"on_episode_step": reported})
    packs = [open_pack(tiny(callbacks=callbacks)) for callbacks in given]
    watchers = [len(pack.sampler.watchers) for pack in packs]
    assert watchers[0] == watchers[1] == watchers[2] - 1
    assert packs[0].hooks is None
    for pack in packs:
        pack.close()


def reported(**kwargs: Any) -> None:
    """A hook that does nothing."""


def test_a_class_that_cannot_be_made_fails_its_agent() -> None:
    with pytest.raises(TrainableError, match=r"callbacks Bad\(\) raised ValueError: no way"):
        PPO({**TINY, "callbacks": type("Bad", (RLlibCallback,), {"__init__": bad})})


def bad(self: Any) -> None:
    raise ValueError("no way")


def test_callbacks_that_another_program_does_not_know_are_left_out_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    config = PPOConfig.from_dict(TINY).callbacks(on_train_result=lambda **kwargs: seen.append(1))
    with config.build_algo() as agent:
        path = agent.save(tmp_path)
    monkeypatch.setattr("tunerl.registry._shared", {})  # as in another program
    with Algorithm.from_checkpoint(path) as again:
        again.train()
        assert again.config["callbacks"] is None
    assert seen == []
    assert "goes on without" in caplog.text
    with Algorithm.from_checkpoint(path, config={"callbacks": Sweeping}) as other:
        assert other.train()["refused"] == 2
