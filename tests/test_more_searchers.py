"""Quasi-random points, given points, repeated ones."""

import math

import pytest
from scipy.stats import qmc

import tunerl.space as sp
from tests.test_searchers import SPACE, make
from tunerl import searchers
from tunerl.errors import InvalidSpace, InvalidSpec
from tunerl.searchers import WAIT, Observation, Repeater
from tunerl.searchers.given import generator
from tunerl.space import Space
from tunerl.trial import Reason, Status

SQUARE = {"x": sp.uniform(0, 1), "y": sp.uniform(0, 1)}


def points(options, tree, count):
    searcher = make(options, tree, count)
    return [searcher.suggest(number, []) for number in range(count)]


@pytest.mark.parametrize(("sequence", "kind"), [("sobol", qmc.Sobol), ("halton", qmc.Halton)])
def test_the_sequence_is_scipys_scrambled_by_the_seed(sequence, kind):
    found = points({"type": "quasirandom", "sequence": sequence}, SQUARE, 200)
    expected = kind(2, scramble=True, rng=generator(7)).random(256)[:200]
    assert [[config["x"], config["y"]] for config in found] == expected.tolist()


def test_a_quasi_random_trial_depends_on_its_number_alone():
    late = make({"type": "quasirandom"}, SQUARE, 500).suggest(300, [])
    assert points({"type": "quasirandom"}, SQUARE, 301)[300] == late


def test_sixteen_sobol_points_lie_one_in_each_cell_where_random_ones_do_not():
    def cells(options):
        found = points(options, SQUARE, 16)
        return len({(int(4 * config["x"]), int(4 * config["y"])) for config in found})

    assert cells({"type": "quasirandom"}) == 16
    assert cells({"type": "random"}) < 16


def test_every_option_comes_as_often_as_every_other():
    found = points(
        {"type": "quasirandom"}, {"a": sp.choice([1, 2, 3, 4]), "n": sp.randint(0, 8)}, 64
    )
    assert [sum(c["a"] == option for c in found) for option in (1, 2, 3, 4)] == [16] * 4
    assert [sum(c["n"] == value for c in found) for value in range(8)] == [8] * 8


def test_conditions_have_dimensions_of_their_own():
    for config in points({"type": "quasirandom"}, SPACE, 40):
        assert ("momentum" in config) == (config["net"]["kind"] == "mlp")
        assert Space(SPACE).contains(config)


def test_a_grid_has_no_place_in_a_sequence():
    with pytest.raises(InvalidSpace, match="a: grid_search has no place in a sequence"):
        make({"type": "quasirandom"}, {"a": sp.grid_search([1, 2])})
    with pytest.raises(InvalidSpec, match="did you mean 'sobol'"):
        searchers.create({"type": "quasirandom", "sequence": "sobl"})


def test_given_points_come_as_they_are_and_end():
    configs = [{"x": 2, "other": None}, {"x": 3}]
    searcher = make({"type": "points", "configs": configs}, SQUARE, 10)
    assert searcher.total == 2
    assert [searcher.suggest(number, []) for number in range(3)] == [*configs, None]
    searcher.suggest(0, [])["x"] = 5
    assert searcher.suggest(0, []) == configs[0]
    assert make({"type": "points", "configs": configs}, SQUARE, 1).total == 1
    with pytest.raises(InvalidSpec, match="a list of at least one configuration"):
        searchers.create({"type": "points", "configs": []})


def repeated(number, value, config, status=Status.TERMINATED):
    values = [] if value is None else [(1, 9.0), (2, value)]
    return Observation(number, config, status, Reason.DONE, values, 1)


class Heard(searchers.BasicVariantGenerator):
    def suggest(self, number, history):
        self.heard = number, history
        return super().suggest(number, history)


def repeater(inner, repeat, **options):
    searcher = Repeater(inner, repeat, **options)
    searcher.setup(Space(SQUARE), "m", "min", 6, 7)
    return searcher


def test_each_suggestion_is_made_several_times_and_knows_its_place():
    searcher, history = repeater(Heard(), 3), []
    for number in range(searcher.total):
        history.append(repeated(number, 1.0, searcher.suggest(number, history)))
    assert searcher.total == 6
    assert [trial.config["__trial_index__"] for trial in history] == [0, 1, 2] * 2
    assert [len({t.config["x"] for t in history[s : s + 3]}) for s in (0, 3)] == [1, 1]
    assert history[0].config["x"] != history[3].config["x"]
    assert "__trial_index__" not in repeater(Heard(), 3, set_index=False).suggest(0, [])


def test_the_repeated_searcher_sees_one_trial_with_the_mean():
    inner = Heard()
    searcher = repeater(inner, 3)
    config = searcher.suggest(0, [])
    values = [1.0, 3.0, None]
    history = [repeated(number, value, config) for number, value in enumerate(values)]
    history[2].status = Status.ERROR
    searcher.suggest(3, history)
    number, (seen,) = inner.heard
    assert (number, seen.status, seen.reason) == (1, Status.TERMINATED, Reason.DONE)
    assert seen.values == [(2, 2.0)]
    assert "__trial_index__" not in seen.config


@pytest.mark.parametrize(
    ("lasts", "status", "value"),
    [
        ([(1.0, "RUNNING"), (3.0, "TERMINATED")], "RUNNING", None),
        ([(1.0, "ERROR"), (3.0, "ERROR")], "ERROR", None),
        ([(math.nan, "TERMINATED"), (3.0, "TERMINATED")], "TERMINATED", math.nan),
    ],
)
def test_what_the_repeated_searcher_sees_of_a_group(lasts, status, value):
    inner = Heard()
    searcher = repeater(inner, 2)
    config = searcher.suggest(0, [])
    history = [repeated(n, v, config, Status(s)) for n, (v, s) in enumerate(lasts)]
    searcher.suggest(2, history)
    (seen,) = inner.heard[1]
    assert seen.status == status
    assert [v for _, v in seen.values] == (
        [] if value is None else [pytest.approx(value, nan_ok=True)]
    )


def test_a_waiting_searcher_makes_the_repeater_wait():
    limited = searchers.ConcurrencyLimiter(Heard(), 1)
    searcher = repeater(limited, 2)
    config = searcher.suggest(0, [])
    history = [repeated(number, None, config, Status.RUNNING) for number in range(2)]
    assert searcher.suggest(2, history) is WAIT
    with pytest.raises(InvalidSpec, match="repeat: 0 given"):
        Repeater(Heard(), 0)
