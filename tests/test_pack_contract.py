"""What holds for every pack, whatever it trains. Cases: `tests.support.packs.CASES`."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import numpy as np
import pytest

from tests.support.packs import CASES, Case, timeless
from tunerl.errors import InvalidConfig
from tunerl.trainable import State
from tunerl.trial import ReplicaId

STRANGER = ReplicaId(99, 0)

pytestmark = pytest.mark.parametrize(
    "case", [pytest.param(c, id=c.name, marks=pytest.mark.slow if c.slow else ()) for c in CASES]
)


def curve(case: Case, seed: int, steps: int) -> list[dict[str, object]]:
    pack = case.open()
    id = case.join(pack, 0, seed)
    found = [timeless(pack.step()[id]) for _ in range(steps)]
    pack.close()
    return found


def test_spec_answers_in_plain_data(case: Case) -> None:
    config = case.spec.resolve(case.config)
    assert case.spec.resolve(config) == config
    assert case.spec.pack_key(config) == case.spec.pack_key(dict(config))
    assert case.spec.capacity(config) >= 1
    assert all(amount >= 0 for amount in case.spec.resources(config).values())
    assert json.loads(json.dumps(case.spec.schema()))["type"] == "object"


def test_a_changed_vector_field_stays_in_the_pack(case: Case) -> None:
    spec = case.spec
    changed = spec.resolve({**case.config, **case.changed})
    assert spec.pack_key(changed) == spec.pack_key(spec.resolve(case.config))


def test_a_wrong_configuration_is_refused_by_resolve(case: Case) -> None:
    if case.wrong is None:
        pytest.skip("declares no hyperparameters")
    with pytest.raises(InvalidConfig) as caught:
        case.spec.resolve({**case.config, **case.wrong})
    assert [problem.path for problem in caught.value.problems] == list(case.wrong)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(case: Case) -> None:
    first, again, other = curve(case, 1, 2), curve(case, 1, 2), curve(case, 2, 2)
    assert first == again
    assert first != other


def test_iterations_are_counted(case: Case) -> None:
    assert [metrics["training_iteration"] for metrics in curve(case, 1, 3)] == [1, 2, 3]


def test_metrics_are_flat_json(case: Case) -> None:
    pack = case.open()
    id = case.join(pack, 0, 1)
    metrics = timeless(pack.step()[id])
    assert metrics == json.loads(json.dumps(metrics))
    assert not any(isinstance(value, dict) for value in metrics.values())
    listed = case.spec.metrics(case.spec.resolve(case.config))
    if listed is not None:
        assert [n for n in metrics if not any(fnmatchcase(n, known) for known in listed)] == []
    pack.close()


def test_an_empty_pack_steps_nobody(case: Case) -> None:
    pack = case.open()
    assert pack.step() == {}
    pack.close()


def test_a_stranger_is_refused(case: Case) -> None:
    pack = case.open()
    case.join(pack, 0, 1)
    with pytest.raises(KeyError):
        pack.leave(STRANGER)
    with pytest.raises(KeyError):
        pack.read(STRANGER)
    with pytest.raises(KeyError):
        pack.write(STRANGER, State())
    with pytest.raises(KeyError):
        pack.configure(STRANGER, case.config)
    with pytest.raises(KeyError):
        pack.copy(STRANGER, STRANGER)
    pack.close()


def test_no_replica_joins_twice_nor_a_full_pack(case: Case) -> None:
    pack = case.open()
    case.join(pack, 0, 1)
    with pytest.raises(ValueError, match="join"):
        case.join(pack, 0, 1)
    for trial in range(1, pack.capacity):
        case.join(pack, trial, 1)
    with pytest.raises(ValueError, match="join"):
        case.join(pack, pack.capacity, 1)
    pack.close()


def test_who_left_is_gone_and_the_slot_serves_a_fresh_replica(case: Case) -> None:
    pack = case.open()
    old = case.join(pack, 0, 1)
    pack.step()
    pack.leave(old)
    with pytest.raises(KeyError):
        pack.read(old)
    new = case.join(pack, 1, 5)
    assert [timeless(pack.step()[new]) for _ in range(2)] == curve(case, 5, 2)
    pack.close()


def test_a_state_goes_on_in_another_pack_as_if_uninterrupted(case: Case) -> None:
    pack = case.open()
    id = case.join(pack, 0, 1)
    pack.step()
    state = pack.read(id)
    pack.step()  # the state is a copy: what comes later does not touch it
    pack.close()
    assert json.loads(json.dumps(state.values)) == state.values
    assert all(isinstance(array, np.ndarray) for array in state.arrays.values())
    resumed = case.open()
    id = case.join(resumed, 7, 1, state=state)
    assert [timeless(resumed.step()[id]) for _ in range(2)] == curve(case, 1, 3)[1:]
    resumed.close()


def test_a_written_state_replaces_the_present_one(case: Case) -> None:
    pack = case.open()
    id = case.join(pack, 0, 1)
    pack.step()
    state = pack.read(id)
    pack.step()
    pack.write(id, state)
    assert timeless(pack.step()[id]) == curve(case, 1, 2)[1]
    pack.close()


def test_configure_changes_what_comes_and_keeps_what_was(case: Case) -> None:
    pack = case.open()
    id = case.join(pack, 0, 1)
    pack.step()
    pack.configure(id, case.spec.resolve({**case.config, **case.changed}))
    second, third = timeless(pack.step()[id]), timeless(pack.step()[id])
    assert second["training_iteration"] == 2
    assert [second, third] != curve(case, 1, 3)[1:]
    pack.close()


def test_configure_refuses_a_wrong_configuration(case: Case) -> None:
    if case.wrong is None:
        pytest.skip("declares no hyperparameters")
    pack = case.open()
    id = case.join(pack, 0, 1)
    with pytest.raises(InvalidConfig):
        pack.configure(id, {**case.config, **case.wrong})
    assert timeless(pack.step()[id]) == curve(case, 1, 1)[0]
    pack.close()


def test_a_copy_takes_over_where_the_source_stood(case: Case) -> None:
    pack = case.open()
    if pack.capacity < 2:
        pytest.skip("a pack of one")
    source = case.join(pack, 0, 1)
    pack.step()
    target = case.join(pack, 1, 2)
    pack.copy(source, target)
    outcomes = pack.step()
    assert timeless(outcomes[target])["training_iteration"] == 2
    assert timeless(outcomes[source]) == curve(case, 1, 2)[1]
    pack.close()


def test_neighbours_change_nothing(case: Case) -> None:
    pack = case.open()
    if pack.capacity < 3:
        pytest.skip("a pack of one")
    early = case.join(pack, 1, 11)
    id = case.join(pack, 0, 1)
    found = [timeless(pack.step()[id])]
    pack.leave(early)
    case.join(pack, 2, 12)
    found.append(timeless(pack.step()[id]))
    assert found == curve(case, 1, 2)
    pack.close()
