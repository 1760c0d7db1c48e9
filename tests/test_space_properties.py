"""Properties of any space: JSON and YAML round trips, bounds, unit maps, reading back."""

import json

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import tunerl.space as sp
from tunerl.errors import InvalidSpace
from tunerl.space import Numeric, Space

finite = st.floats(-1e6, 1e6, allow_nan=False)
positive = st.floats(1e-6, 1e6, allow_nan=False)
step = st.sampled_from([0.01, 0.1, 0.25, 0.5, 1.0, 3.0])


def pair(values):
    return st.tuples(values, values).map(sorted)


def stepped(function, least):
    return st.builds(
        lambda q, low, more: function(low * q, (low + more) * q, q),
        step,
        st.integers(least, 50),
        st.integers(0, 50),
    )


numeric = st.one_of(
    pair(finite).map(lambda bounds: sp.uniform(*bounds)),
    pair(positive).map(lambda bounds: sp.loguniform(*bounds)),
    stepped(sp.quniform, -50),
    stepped(sp.qloguniform, 1),
    st.builds(sp.randn, finite, positive),
    st.builds(sp.qrandn, finite, st.floats(0.1, 100), step),
    st.builds(lambda low, n: sp.randint(low, low + n), st.integers(-99, 99), st.integers(1, 99)),
    st.builds(lambda low, n: sp.lograndint(low, low + n), st.integers(1, 99), st.integers(1, 99)),
    st.builds(
        lambda low, n, q: sp.qrandint(low, low + n + q, q),
        st.integers(-99, 99),
        st.integers(0, 99),
        st.integers(1, 9),
    ),
    st.builds(
        lambda low, n, q: sp.qlograndint(low, low + n + q, q),
        st.integers(1, 99),
        st.integers(0, 99),
        st.integers(1, 9),
    ),
)
scalar = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), finite, st.text(max_size=3))
key = st.sampled_from(["lr", "gamma", "net", "uniform", "choice", "const", "when", "python", "x"])


def extend(inner):
    return st.one_of(
        st.dictionaries(key, inner, max_size=3),
        st.lists(inner, max_size=2),
        st.lists(inner, min_size=1, max_size=3).map(sp.choice),
    )


trees = st.dictionaries(key, st.recursive(st.one_of(scalar, numeric), extend, max_leaves=8))
with_grids = st.builds(
    lambda tree, grid: {**tree, "grid": sp.grid_search(grid)},
    trees,
    st.lists(st.one_of(scalar, trees), min_size=1, max_size=3),
)


@settings(deadline=None)
@given(numeric, st.floats(0, 1))
def test_every_unit_maps_into_the_domain_and_back(domain, unit):
    value = domain.from_unit(unit)
    assert domain.contains(value)
    assert 0 <= domain.to_unit(value) <= 1
    again = domain.from_unit(domain.to_unit(value))
    assert again == pytest.approx(value, rel=1e-6, abs=1e-6)


@settings(deadline=None)
@given(numeric, st.floats(0, 1), st.floats(0, 1))
def test_the_unit_map_is_monotone(domain, one, other):
    low, high = sorted((one, other))
    assert domain.from_unit(low) <= domain.from_unit(high)


@settings(deadline=None)
@given(st.one_of(trees, with_grids))
def test_json_round_trip(tree):
    text = json.dumps(sp.to_json(tree), allow_nan=False)
    assert Space(sp.from_json(json.loads(text))) == Space(tree)


@settings(deadline=None)
@given(with_grids)
def test_yaml_round_trip(tree):
    text = sp.to_yaml(tree)
    assert Space(sp.from_yaml(text)) == Space(tree)
    assert Space(sp.from_json(yaml.safe_load(text))) == Space(tree)


@settings(deadline=None, max_examples=50)
@given(with_grids, st.integers(0, 2**32))
def test_what_is_sampled_is_contained_and_json(tree, seed):
    space = Space(tree)
    config = space.variant(seed % space.grid_size, np.random.default_rng(seed))
    assert json.loads(json.dumps(config)) == config
    assert space.contains(config)
    assert space.fix(config).constant
    for domain, value in space.read(config).values():
        if isinstance(domain, Numeric):
            assert domain.contains(value)


def test_the_documented_json_forms():
    tree = sp.from_json(
        {
            "lr": {"loguniform": [1e-5, 1e-2]},
            "size": {"choice": [32, 64]},
            "seed": {"grid_search": [1, 2]},
            "clip": {"quniform": [0, 1, 0.25]},
            "keyword": {"quniform": {"lower": 0, "upper": 1, "q": 0.5}},
            "mixed": {"quniform": [0, 1, {"q": 0.5}]},
            "momentum": {"when": ["size", [32], {"uniform": [0, 1]}]},
            "literal": {"const": {"uniform": [0, 1]}},
        }
    )
    assert tree == {
        "lr": sp.loguniform(1e-5, 1e-2),
        "size": sp.choice([32, 64]),
        "seed": {"grid_search": [1, 2]},
        "clip": sp.quniform(0, 1, 0.25),
        "keyword": sp.quniform(0, 1, 0.5),
        "mixed": sp.quniform(0, 1, 0.5),
        "momentum": sp.when("size", 32, sp.uniform(0, 1)),
        "literal": {"uniform": [0, 1]},
    }


def test_numbers_that_yaml_reads_as_strings_are_numbers():
    assert sp.from_json(yaml.safe_load("lr: {loguniform: [1e-5, 1e-2]}")) == {
        "lr": sp.loguniform(1e-5, 1e-2)
    }
    assert sp.from_yaml("lr: {choice: [1e-5, 3E4, 1.5, 7, a1e5]}") == {
        "lr": sp.choice([1e-5, 3e4, 1.5, 7, "a1e5"])
    }


@pytest.mark.parametrize(
    ("json_form", "message"),
    [
        ({"a": {"uniform": [0]}}, r"a: uniform takes \[lower, upper\]"),
        ({"a": {"uniform": 3}}, r"uniform takes \[lower, upper\]"),
        ({"a": {"uniform": [0, 1, {"q": 1}]}}, r"uniform takes"),
        ({"a": {"choice": 3}}, "choice takes a list"),
        ({"a": {"when": ["b"]}}, r"when takes \[path, values, what then\]"),
        ({"a": [{"python": "m.f"}]}, "a/0: m.f is Python"),
    ],
)
def test_json_that_describes_nothing_is_refused_with_its_path(json_form, message):
    with pytest.raises(InvalidSpace, match=message):
        sp.from_json(json_form)


def test_text_that_is_not_yaml_is_refused():
    with pytest.raises(InvalidSpace, match="not YAML"):
        sp.from_yaml("a: [1")


def test_python_parts_are_named_and_cannot_come_back():
    tree = {
        "a": sp.sample_from(len),
        "b": {"c": sp.choice([np.mean, 1])},
        "d": float("nan"),
        "lr": sp.uniform(0, 1),
    }
    assert sp.python_parts(tree) == ["a", "b/c", "d"]
    with pytest.raises(InvalidSpace) as error:
        sp.from_json(sp.to_json(tree))
    assert len(error.value.problems) == 3
