"""Spaces: sampling, grids, conditions, functions, validation, Ray Tune's own objects."""

import subprocess
import sys

import numpy as np
import pytest

import tunerl.space as sp
from tunerl.errors import InvalidSpace
from tunerl.space import Space


def rng(seed=0):
    return np.random.default_rng(seed)


def values(domain, count=4000, seed=0):
    space, source = Space({"x": domain}), rng(seed)
    return [space.sample(source)["x"] for _ in range(count)]


def problems(tree):
    with pytest.raises(InvalidSpace) as error:
        Space(tree)
    return {problem.path: problem.message for problem in error.value.problems}


def test_randint_excludes_its_upper_bound_and_reaches_both_ends():
    assert set(values(sp.randint(2, 6))) == {2, 3, 4, 5}
    assert set(values(sp.lograndint(1, 5))) == {1, 2, 3, 4}


def test_quantised_integers_include_their_upper_bound_unless_q_is_one():
    assert set(values(sp.qrandint(8, 32, 8))) == {8, 16, 24, 32}
    assert set(values(sp.qrandint(5, 21, 8))) == {8, 16}
    assert set(values(sp.qrandint(1, 4, 1))) == {1, 2, 3}
    assert set(values(sp.qlograndint(8, 32, 8))) == {8, 16, 24, 32}


def test_quantised_floats_are_clean_multiples_that_reach_both_ends():
    assert set(values(sp.quniform(0, 0.4, 0.1))) == {0.0, 0.1, 0.2, 0.3, 0.4}
    assert set(values(sp.qloguniform(1, 4, 1))) == {1.0, 2.0, 3.0, 4.0}
    assert all(value * 4 == round(value * 4) for value in values(sp.qrandn(0, 1, 0.25)))


def test_log_domains_spread_evenly_over_orders_of_magnitude():
    drawn = np.log10(values(sp.loguniform(1e-4, 1)))
    assert np.histogram(drawn, bins=4, range=(-4, 0))[0] == pytest.approx([1000] * 4, rel=0.15)


def test_randn_has_its_mean_and_deviation():
    drawn = values(sp.randn(3, 0.5))
    assert np.mean(drawn) == pytest.approx(3, abs=0.05)
    assert np.std(drawn) == pytest.approx(0.5, abs=0.05)


def test_values_are_plain_python_and_lists_stay_lists():
    config = Space(
        {"a": sp.randint(0, 5), "b": sp.uniform(0, 1), "c": [sp.choice([(1, 2)]), np.int64(3)]}
    ).sample(rng())
    assert type(config["a"]) is int
    assert type(config["b"]) is float
    assert config["c"] == [[1, 2], 3]
    assert type(config["c"][1]) is int


def test_sampling_is_a_function_of_the_generator():
    space = Space({"a": sp.uniform(0, 1), "b": {"c": sp.choice(["x", "y"])}})
    assert space.sample(rng(5)) == space.sample(rng(5))
    assert space.sample(rng(5)) != space.sample(rng(6))


def test_configurations_share_nothing_with_the_space():
    space = Space({"a": {"b": [1]}, "c": sp.choice([{"d": [1]}])})
    first = space.sample(rng())
    first["a"]["b"].append(2)
    first["c"]["d"].append(2)
    assert space.sample(rng()) == {"a": {"b": [1]}, "c": {"d": [1]}}


def test_grids_multiply_and_the_first_path_turns_fastest():
    space = Space({"b": sp.grid_search(["u", "v"]), "a": sp.grid_search([1, 2, 3])})
    assert space.grid_size == 6
    variants = [space.variant(index, rng()) for index in range(6)]
    assert [(v["a"], v["b"]) for v in variants] == [(a, b) for b in "uv" for a in (1, 2, 3)]


def test_grid_order_is_ray_tunes():
    from ray.tune.search.variant_generator import generate_variants

    tree = {"b": {"z": sp.grid_search(["u", "v"])}, "a": sp.grid_search([1, 2, 3]), "k": 0}
    theirs = [config for _, config in generate_variants(tree)]
    space = Space(tree)
    assert [space.variant(index, rng()) for index in range(space.grid_size)] == theirs


def test_grids_inside_a_grids_options_are_enumerated():
    space = Space(
        {"a": sp.grid_search([0, {"b": sp.grid_search([1, 2]), "c": sp.grid_search([3, 4])}])}
    )
    found = [space.variant(index, rng())["a"] for index in range(space.grid_size)]
    assert found[0] == 0
    assert sorted((v["b"], v["c"]) for v in found[1:]) == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_a_variant_beyond_the_grid_is_an_index_error():
    with pytest.raises(IndexError):
        Space({"a": sp.grid_search([1, 2])}).variant(2, rng())


def test_choice_over_dicts_draws_the_domains_of_the_chosen_one_only():
    space = Space(
        {"net": sp.choice([{"kind": "mlp", "width": sp.randint(1, 9)}, {"kind": "none"}])}
    )
    drawn = [space.sample(rng(seed))["net"] for seed in range(50)]
    assert {tuple(sorted(net)) for net in drawn} == {("kind", "width"), ("kind",)}
    assert all(1 <= net["width"] < 9 for net in drawn if net["kind"] == "mlp")
    assert set(space.domains) == {"net", "net[0]/width"}


def test_when_makes_a_parameter_exist_only_with_another():
    space = Space(
        {
            "momentum": sp.when("optimizer/name", "sgd", sp.uniform(0, 1)),
            "optimizer": {"name": sp.choice(["sgd", "adam"])},
            "nesterov": sp.when("momentum", [0.5], True),
        }
    )
    for seed in range(30):
        config = space.sample(rng(seed))
        assert ("momentum" in config) == (config["optimizer"]["name"] == "sgd")
        assert "nesterov" not in config


def test_when_that_waits_for_itself_says_so():
    space = Space({"a": sp.when("b", 1, 1), "b": sp.when("a", 1, 1)})
    with pytest.raises(InvalidSpace, match="waits for a parameter that waits for it"):
        space.sample(rng())


def test_when_for_a_parameter_that_is_not_there_names_the_nearest():
    assert (
        "did you mean 'optimizer'"
        in problems({"m": sp.when("optimiser", 1, 2), "optimizer": sp.choice([1, 2])})["m"]
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda config: config["n"] * 2,
        lambda config: config.n * 2,
        lambda spec: spec.config.n * 2,
        lambda spec: spec.config["n"] * 2,
        lambda config: config.get("n") * 2,
    ],
)
def test_sample_from_takes_our_style_and_rays(function):
    config = Space({"double": sp.sample_from(function), "n": sp.randint(1, 9)}).sample(rng())
    assert config["double"] == config["n"] * 2


def test_sample_from_waits_for_other_functions_whatever_the_order():
    space = Space(
        {
            "c": sp.sample_from(lambda config: config["nested"]["b"] + 1),
            "nested": {"b": sp.sample_from(lambda spec: spec.config.a + 1)},
            "a": sp.sample_from(lambda: 1),
        }
    )
    assert space.sample(rng()) == {"a": 1, "nested": {"b": 2}, "c": 3}


def test_sample_from_that_uses_global_randomness_is_reproducible_and_leaves_it_alone():
    space = Space({"a": sp.sample_from(lambda config: np.random.rand())})
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    assert space.sample(rng(3)) == space.sample(rng(3))
    assert space.sample(rng(3)) != space.sample(rng(4))
    assert np.random.get_state()[1].tolist() == before


def test_sample_from_may_return_a_domain():
    space = Space({"a": sp.sample_from(lambda config: sp.randint(3, 4))})
    assert space.sample(rng()) == {"a": 3}


def test_sample_from_that_raises_names_the_path_and_the_error():
    with pytest.raises(InvalidSpace, match=r"x/y: sample_from failed: KeyError.*did you mean 'lr'"):
        Space({"x": {"y": sp.sample_from(lambda c: c["l"])}, "lr": 1}).sample(rng())


def test_sample_from_in_a_circle_says_so():
    space = Space({"a": sp.sample_from(lambda c: c["b"]), "b": sp.sample_from(lambda c: c["a"])})
    with pytest.raises(InvalidSpace, match="a: waits for"):
        space.sample(rng())


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (sp.uniform(1, 0), "swap"),
        (sp.uniform("a", 1), "must be a number"),
        (sp.uniform(0, float("inf")), "must be a number"),
        (sp.loguniform(0, 1), "above 0"),
        (sp.quniform(0, 1, 0.3), "not a multiple"),
        (sp.quniform(0, 1, 0), "above 0"),
        (sp.randint(5, 5), "no whole number"),
        (sp.randint(0.5, 3), "must be a whole number"),
        (sp.qrandint(1, 7, 8), "no multiple of q = 8"),
        (sp.lograndint(0, 5), "above 0"),
        (sp.randn(0, 0), "above 0"),
        (sp.choice([]), "at least one"),
        (sp.grid_search([]), "at least one"),
        (sp.sample_from(lambda a, b: a), "one argument"),
        (sp.choice([sp.grid_search([1])]), "grid_search inside choice"),
        (sp.when("k", [], 1), "no value"),
        ({"eval": "spec.config.x"}, "sample_from"),
    ],
)
def test_impossible_domains_are_refused_with_a_reason(domain, message):
    (found,) = problems({"x": domain, "k": 1}).values()
    assert message in found


def test_all_problems_are_listed_with_their_paths():
    found = problems({"a": {"b": sp.uniform(2, 1)}, "c": [sp.choice([])], 3: 1})
    assert set(found) == {"a/b", "c/0", "3"}


@pytest.mark.parametrize("tree", [[1], "x", None, sp.grid_search([1]), sp.uniform(0, 1)])
def test_a_space_is_a_dict(tree):
    with pytest.raises(InvalidSpace):
        Space(tree)


def test_a_constant_space_is_one_configuration_and_no_more():
    space = Space({})
    space.check(1)
    assert space.sample(rng()) == {}
    for count in (2, -1):
        with pytest.raises(InvalidSpace, match="num_seeds"):
            Space({"lr": 1.0}).check(count)
    Space({"lr": sp.uniform(0, 1)}).check(-1)


def test_a_log_base_is_accepted_with_a_warning():
    with pytest.warns(DeprecationWarning, match="base"):
        assert sp.loguniform(1, 10, 10) == sp.loguniform(1, 10)


def test_rays_domains_are_accepted_wherever_ours_are():
    from ray import tune
    from ray.tune.search.sample import Categorical

    theirs = {
        "a": tune.uniform(0, 1),
        "b": [tune.loguniform(1e-4, 1), {"c": tune.quniform(0, 1, 0.5)}],
        "d": tune.qloguniform(1, 4, 1),
        "e": tune.randint(0, 3),
        "f": tune.qrandint(0, 8, 4),
        "g": tune.lograndint(1, 9),
        "h": tune.qlograndint(2, 8, 2),
        "i": tune.randn(1, 2),
        "j": tune.qrandn(1, 2, 0.5),
        "k": tune.choice([{"x": tune.uniform(0, 1)}, 2]),
        "l": tune.grid_search([1, tune.uniform(5, 6)]),
        "m": Categorical([1, 2]).grid(),
    }
    ours = {
        "a": sp.uniform(0, 1),
        "b": [sp.loguniform(1e-4, 1), {"c": sp.quniform(0, 1, 0.5)}],
        "d": sp.qloguniform(1, 4, 1),
        "e": sp.randint(0, 3),
        "f": sp.qrandint(0, 8, 4),
        "g": sp.lograndint(1, 9),
        "h": sp.qlograndint(2, 8, 2),
        "i": sp.randn(1, 2),
        "j": sp.qrandn(1, 2, 0.5),
        "k": sp.choice([{"x": sp.uniform(0, 1)}, 2]),
        "l": sp.grid_search([1, sp.uniform(5, 6)]),
        "m": sp.grid_search([1, 2]),
    }
    assert Space(theirs) == Space(ours)
    mixed = Space({"a": tune.uniform(0, 1), "s": tune.sample_from(lambda spec: spec.config.a)})
    config = mixed.sample(rng())
    assert config["s"] == config["a"]


def test_spaces_do_without_ray_torch_and_optuna():
    code = (
        "import sys, tunerl.space, tunerl.searchers, tunerl.schedulers, tunerl.statistics;"
        "print(sorted({'ray', 'torch', 'optuna', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_fix_holds_a_part_constant_nested_or_flat():
    space = Space(
        {
            "a": {"b": sp.uniform(0, 1), "c": sp.grid_search([1, 2])},
            "net": sp.choice([{"k": "x", "w": sp.uniform(0, 1)}, {"k": "y"}]),
        }
    )
    fixed = space.fix({"a/b": 0.5, "net": {"k": "x"}})
    assert fixed.grid_size == 2
    config = fixed.variant(1, rng())
    assert config["a"] == {"b": 0.5, "c": 2}
    assert set(config["net"]) == {"k", "w"}
    assert space.fix({"a": {"c": 2}}).grid_size == 1


def test_fix_refuses_what_is_not_in_the_space():
    space = Space({"lr": sp.uniform(0, 1), "act": sp.choice(["relu"]), "k": 3})
    with pytest.raises(InvalidSpace) as error:
        space.fix({"lr": 2, "act": "tanh", "lx": 1, "k": 4})
    found = {problem.path: problem.message for problem in error.value.problems}
    assert set(found) == {"lr", "act", "lx", "k"}
    assert "did you mean 'lr'" in found["lx"]


def test_read_gives_back_what_was_drawn():
    space = Space(
        {
            "n": sp.qrandint(8, 32, 8),
            "net": sp.choice([{"k": "x"}, {"k": "y", "w": sp.uniform(0, 1)}]),
            "s": sp.sample_from(lambda c: c["n"]),
        }
    )
    drawn = space.read({"n": 16, "net": {"k": "y", "w": 0.25}, "s": 16})
    assert {name: value for name, (_, value) in drawn.items()} == {
        "n": 16,
        "net": 1,
        "net[1]/w": 0.25,
    }


@pytest.mark.parametrize(
    "config",
    [
        {"n": 9, "k": 1, "b": True},
        {"n": 8, "k": 2, "b": True},
        {"n": 8, "b": True},
        {"n": 8, "k": 1, "b": 1},
        {"n": 8, "k": 1, "b": True, "extra": 0},
        {"k": 1, "b": True},
        {"n": "8", "k": 1, "b": True},
    ],
)
def test_contains_refuses_configurations_from_elsewhere(config):
    space = Space({"n": sp.qrandint(8, 32, 8), "k": 1, "b": sp.choice([True, False])})
    assert space.contains({"n": 8, "k": 1, "b": True})
    assert not space.contains(config)


def test_an_empty_option_is_found_behind_a_choice_of_fuller_ones() -> None:
    behind = sp.choice([sp.choice([{"b": 1}]), {}])
    space = Space({"a": behind, "c": sp.choice([{"d": {"e": 1}}, {"d": {}}])})
    for a in ({"b": 1}, {}):
        for c in ({"d": {"e": 1}}, {"d": {}}):
            assert space.contains({"a": a, "c": c})
