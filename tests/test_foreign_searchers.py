"""Ray Tune's searchers as ours: HyperOpt for real, and a small one that notes what it hears."""

import math
import random
import sys

import numpy as np
import pytest

import tunerl.space as sp
from tests.support.runs import Climb
from tunerl.assembly import assemble
from tunerl.errors import InvalidSpace, InvalidSpec
from tunerl.registry import trainable
from tunerl.searchers import WAIT, Observation
from tunerl.searchers.foreign import ForeignSearcher, is_foreign
from tunerl.searchers.foreign_space import merge, to_foreign
from tunerl.space import Space
from tunerl.trial import Reason, Status
from tunerl.tuner import RunConfig, TuneConfig

TREE = {"x": sp.uniform(0, 1), "deep": {"y": sp.uniform(0, 1)}, "env": "CartPole-v1"}


class Walker:
    """Steps on from the best it has heard of; draws from a generator of its own, NumPy's and
    Python's. `heard`: every call, in order."""

    limit = 10**9

    def __init__(self, own=False):
        self.own, self.rng, self.heard, self.best = own, np.random.RandomState(), [], (9.0, 0.5)
        self.asked = {}

    def set_search_properties(self, metric, mode, config):
        self.metric, self.space = metric, config
        return not self.own

    def suggest(self, trial_id):
        self.heard.append(("suggest", trial_id))
        if len(self.asked) >= self.limit:
            return "FINISHED"
        step = 0.1 * (self.rng.rand() + np.random.rand() + random.random() - 1.5)
        self.asked[trial_id] = min(max(self.best[1] + step, 0), 1)
        return {"x": np.float64(self.asked[trial_id]), "deep/y": 0.25}

    def on_trial_result(self, trial_id, result):
        self.heard.append(("result", trial_id, result["training_iteration"], result[self.metric]))

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.heard.append(("complete", trial_id, error, result and result[self.metric]))
        if result:
            self.best = min(self.best, (result[self.metric], self.asked[trial_id]))


def wrap(searcher, tree=TREE, num_samples=30, seed=7):
    wrapped = ForeignSearcher(searcher)
    wrapped.setup(Space(tree), "m", "min", num_samples, seed)
    return wrapped


def sweep(searcher, count, loss=lambda config: (config["x"] - 0.2) ** 2):
    """Run trials, three at a time, that report twice, end in any order, fail or give NaN."""
    rng, history, live = random.Random(1), [], []
    while len(history) < count:
        while len(live) < 3 and len(history) < count:
            config = searcher.suggest(len(history), history)
            if config is WAIT:
                break
            history.append(Observation(len(history), config, Status.RUNNING))
            live.append(history[-1])
        seen = live[rng.randrange(len(live))]
        fate = rng.random()
        value = math.nan if fate < 0.1 else loss(seen.config)
        seen.values.append((len(seen.values) + 1, value))
        seen.arrivals.append(len(history))
        seen.version += 1
        if len(seen.values) == 2:
            failed = fate > 0.9
            seen.status = Status.ERROR if failed else Status.TERMINATED
            seen.reason, seen.closed = Reason.DONE, len(history)
            live.remove(seen)
    return history


def test_it_hears_what_happened_in_order():
    searcher = wrap(Walker())
    config = searcher.suggest(0, [])
    assert config == {"x": pytest.approx(0.5, abs=0.2), "deep": {"y": 0.25}, "env": "CartPole-v1"}
    first = Observation(0, config, Status.TERMINATED, Reason.DONE, [(1, 3.0), (2, 2.0)], 2)
    first.arrivals, first.closed = [1, 1], 1
    second = Observation(1, searcher.suggest(1, [first]), Status.ERROR, Reason.FAILURE, [(1, 1.0)])
    third = Observation(2, config, Status.TERMINATED, Reason.DONE, [(1, math.nan)])
    searcher.suggest(2, [first, second])
    searcher._catch_up(3, [first, second, third])
    assert searcher._live.heard == [
        ("suggest", "00000"),
        ("result", "00000", 1, 3.0),
        ("result", "00000", 2, 2.0),
        ("complete", "00000", False, 2.0),
        ("suggest", "00001"),
        ("result", "00001", 1, 1.0),
        ("complete", "00001", True, None),
        ("suggest", "00002"),
        ("result", "00002", 1, pytest.approx(math.nan, nan_ok=True)),
        ("complete", "00002", True, None),
    ]


def test_led_through_the_past_again_it_goes_on_as_it_would_have():
    searcher = wrap(Walker())
    history = sweep(searcher, 24)
    fresh = wrap(Walker())
    assert fresh.suggest(24, history) == searcher.suggest(24, history)
    assert fresh._live.heard == searcher._live.heard
    assert wrap(Walker(), seed=8).suggest(0, []) != wrap(Walker()).suggest(0, [])


def test_asked_twice_it_answers_the_same_and_after_a_result_anew():
    searcher = wrap(Walker())
    config = searcher.suggest(0, [])
    assert searcher.suggest(0, []) == config
    trial = Observation(0, config, Status.RUNNING)
    second = searcher.suggest(1, [trial])
    trial.values, trial.arrivals, trial.version = [(1, 0.0)], [1], 1
    trial.status, trial.closed = Status.TERMINATED, 1
    again = searcher.suggest(1, [trial])
    assert ("complete", "00000", False, 0.0) in searcher._live.heard
    assert again == wrap(Walker()).suggest(1, [trial])
    assert second != again


def test_it_does_not_touch_the_global_generators():
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    wrap(Walker()).suggest(0, [])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_one_that_does_not_repeat_itself_is_refused():
    class Fickle(Walker):
        count = 0

        def suggest(self, trial_id):
            Fickle.count += 1
            return {"x": Fickle.count / 100, "deep/y": 0.1}

    searcher = wrap(Fickle())
    history = [Observation(0, searcher.suggest(0, []), Status.RUNNING)]
    with pytest.raises(InvalidSpec, match="does not suggest again what it suggested for trial 0"):
        wrap(Fickle()).suggest(1, history)


def test_none_is_to_wait_and_finished_is_the_end():
    class Shy(Walker):
        def suggest(self, trial_id):
            return None

    class Short(Walker):
        limit = 0

    class Slow(Walker):
        asked_before = 0

        def suggest(self, trial_id):
            self.asked_before += 1
            return super().suggest(trial_id) if self.asked_before % 4 == 0 else None

    assert wrap(Shy()).suggest(0, []) is WAIT
    searcher = wrap(Slow())
    trial = Observation(0, searcher.suggest(0, []), Status.RUNNING)
    assert searcher.suggest(1, [trial]) is WAIT
    trial.values, trial.arrivals, trial.version = [(1, 0.0)], [1], 1
    trial.status, trial.closed = Status.TERMINATED, 1
    assert searcher.suggest(1, [trial]) == wrap(Slow()).suggest(1, [trial])
    assert wrap(Short()).suggest(0, []) is None
    assert wrap(Walker(), num_samples=0).suggest(0, []) is None


def test_a_space_of_its_own_or_the_experiments_but_not_both():
    with pytest.raises(InvalidSpace, match="has a space of its own already"):
        wrap(Walker(own=True))
    own = wrap(Walker(own=True), {"env": "CartPole-v1"}, num_samples=1)
    assert own.suggest(0, [])["deep"] == {"y": 0.25}


def test_a_suggestion_outside_of_the_space_is_refused_with_its_path():
    with pytest.raises(InvalidSpace, match=r"x: .* is not in uniform"):
        wrap(Walker(), {**TREE, "x": sp.uniform(5, 6)}).suggest(0, [])


def test_grids_and_conditions_are_refused_with_advice():
    tree = {"a": sp.choice([1]), "b": sp.when("a", 1, sp.uniform(0, 1)), "c": sp.randint(0, 9)}
    with pytest.raises(InvalidSpace, match="b: when has no counterpart"):
        wrap(Walker(), tree)
    with pytest.raises(InvalidSpace, match="a: grid_search has no counterpart"):
        wrap(Walker(), {"a": sp.grid_search([1])})


def test_without_ray_the_space_is_given_as_it_is(monkeypatch):
    monkeypatch.delitem(sys.modules, "ray.tune.search.sample", raising=False)
    assert to_foreign({"a": sp.uniform(0, 1), "b": [3]}) == {"a": sp.uniform(0, 1), "b": [3]}


def test_slashes_and_nesting_are_merged():
    assert merge({"a": {"b": 1, "c": 2}}, {"a/b": 5, "d/e": 1}) == {
        "a": {"b": 5, "c": 2}, "d": {"e": 1},
    }  # fmt: skip


def test_who_has_the_verbs_is_taken_by_the_tuner():
    assert is_foreign(Walker())
    assert not is_foreign(Walker)
    assert not is_foreign(object())
    tune = TuneConfig(metric="score", mode="max", num_samples=3, search_alg=Walker())
    spec, custom = assemble(trainable(Climb), {"lr": 1.0, "x": sp.uniform(0, 1)}, tune, RunConfig())
    assert isinstance(custom.searcher, ForeignSearcher)
    assert spec.searcher == {"type": "foreign", "python": "ForeignSearcher"}
    with pytest.raises(InvalidSpec, match="lacks one of the verbs"):
        ForeignSearcher(object())


def test_earlier_trials_are_taught_where_it_can_be_taught():
    class Pupil(Walker):
        def add_evaluated_point(self, parameters, value, **more):
            self.heard.append(("taught", parameters["x"], value))

    earlier = [
        Observation(0, {"x": 0.3}, Status.TERMINATED, Reason.DONE, [(1, 2.0)]),
        Observation(1, {"x": 0.4}, Status.ERROR, Reason.FAILURE, [(1, 2.0)]),
    ]
    searcher = wrap(Pupil())
    searcher.learn(earlier)
    assert searcher._live.heard == [("taught", 0.3, 2.0)]
    with pytest.raises(InvalidSpec, match="does not learn from earlier experiments"):
        wrap(Walker()).learn(earlier)


@pytest.fixture(scope="module")
def ray_tune():
    return pytest.importorskip("ray.tune")


def hyperopt():
    from ray.tune.search.hyperopt import HyperOptSearch

    return HyperOptSearch(n_initial_points=5)


def nevergrad():
    engine = pytest.importorskip("nevergrad")
    from ray.tune.search.nevergrad import NevergradSearch

    return NevergradSearch(engine.optimizers.OnePlusOne)


def bayesopt():
    pytest.importorskip("bayes_opt")
    from ray.tune.search.bayesopt import BayesOptSearch

    return BayesOptSearch(random_search_steps=4, skip_duplicate=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [hyperopt, nevergrad, bayesopt])
def test_rays_searchers_find_the_bowl_and_survive_a_restart(ray_tune, make):
    searcher = wrap(make(), num_samples=22)
    history = sweep(searcher, 20)
    best = min(trial.values[-1][1] for trial in history if trial.status is Status.TERMINATED)
    assert best < 0.01
    assert all(trial.config["env"] == "CartPole-v1" for trial in history)
    assert wrap(make(), num_samples=22).suggest(20, history) == searcher.suggest(20, history)


@pytest.mark.filterwarnings("ignore")
def test_every_domain_has_its_counterpart_in_ray(ray_tune):
    from tests.test_searchers import SPACE

    tree = {key: value for key, value in SPACE.items() if key not in ("momentum", "double")}
    found = to_foreign(Space(tree).tree)
    again = Space(found)
    assert again.domains.keys() == Space(tree).domains.keys()
    assert again == Space(tree)
    with pytest.raises(InvalidSpace, match="BayesOptSearch refuses it"):
        wrap(bayesopt(), tree)
