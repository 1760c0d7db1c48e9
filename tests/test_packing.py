"""Placement of waiting replicas: spread, like with like, nobody starves."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tunerl.control.packing import PATIENCE, Open, Placement, Waiting, place


def waiting(count: int, key: str = "a", first: int = 0, **more: object) -> list[Waiting]:
    options: dict[str, object] = {"replicas": 1, "capacity": 32, "share": 0.5, **more}
    return [Waiting(i, key, order=i, **options) for i in range(first, first + count)]  # type: ignore[arg-type]


def sizes(placements: list[Placement]) -> list[int]:
    counted: Counter[str | int] = Counter()
    for placement in placements:
        counted[placement.pack] += len(placement.indices)
    return sorted(counted.values())


def test_waiting_work_is_spread_evenly_over_free_workers() -> None:
    assert sizes(place(waiting(10), [])) == [5, 5]


def test_one_trial_opens_one_pack_only() -> None:
    assert [p.pack for p in place(waiting(1), [])] == [0]


def test_replicas_of_a_trial_stay_together() -> None:
    placements = place(waiting(3, replicas=4, capacity=8), [])
    assert [p.indices for p in placements] == [(0, 1, 2, 3)] * 3
    assert sizes(placements) == [4, 8]


def test_a_trial_that_does_not_fit_as_a_whole_waits() -> None:
    full = Open("p", "a", members=6, capacity=8, share=1.0)
    assert place(waiting(1, replicas=4, capacity=8, share=1.0), [full]) == []


def test_an_open_pack_of_the_same_key_takes_joiners() -> None:
    open_pack = Open("p", "a", members=3, capacity=8, share=1.0)
    placements = place(waiting(2, share=1.0), [open_pack])
    assert placements == [Placement(0, "p", (0,)), Placement(1, "p", (0,))]


def test_another_key_waits_for_a_free_worker() -> None:
    busy = Open("p", "a", members=1, capacity=8, share=1.0)
    assert place(waiting(1, key="b", share=1.0), [busy]) == []


def test_joiners_even_out_what_runs_already() -> None:
    open_pack = Open("p", "a", members=5, capacity=32, share=0.5)
    placements = place(waiting(5), [open_pack])
    assert Counter(p.pack for p in placements) == {0: 5}


def test_the_biggest_group_gets_the_only_worker_and_the_older_one_on_a_tie() -> None:
    small, big = waiting(2, key="a", share=1.0), waiting(5, key="b", first=2, share=1.0)
    assert {p.trial for p in place(small + big, [])} == {2, 3, 4, 5, 6}
    tied = waiting(2, key="a", share=1.0) + waiting(2, key="b", first=2, share=1.0)
    assert {p.trial for p in place(tied, [])} == {0, 1}


def test_two_groups_share_two_workers_by_size() -> None:
    placements = place(waiting(10, key="a") + waiting(6, key="b", first=10), [])
    assert sizes(placements) == [6, 10]


def test_more_seeds_than_a_pack_holds_take_packs_of_their_own() -> None:
    placements = place(waiting(2, replicas=3, capacity=1, share=0.25), [])
    assert [(p.trial, p.indices) for p in placements] == [(0, (0,)), (0, (1,)), (0, (2,))]
    assert len({p.pack for p in placements}) == 3


def test_a_pack_of_ones_own_takes_nobody_else() -> None:
    own = Open("p", "a", members=1, capacity=2, share=0.5, exclusive=True)
    other = Open("q", "a", members=2, capacity=2, share=0.5, exclusive=True)
    assert place(waiting(1, capacity=2, replicas=1), [own, other]) == []


def test_a_group_that_let_too_many_pass_comes_first() -> None:
    old = waiting(1, key="b", share=1.0)
    young = waiting(5, key="a", first=PATIENCE + 5, share=1.0)
    assert [p.trial for p in place(old + young, [])] == [0]


def test_joiners_are_held_back_so_that_a_starving_group_gets_its_worker() -> None:
    running = Open("p", "a", members=3, capacity=32, share=1.0)
    old = waiting(1, key="b", share=1.0)
    young = waiting(1, key="a", first=PATIENCE + 1, share=1.0)
    assert place(old + young, [running]) == []


def test_a_stream_of_one_key_does_not_starve_another() -> None:
    members: list[int] = []
    queue = waiting(1, key="b", capacity=4, share=1.0)
    order = 1
    for _ in range(10 * PATIENCE):
        while sum(entry.key == "a" for entry in queue) < 2:
            queue += waiting(1, key="a", first=order, capacity=4, share=1.0)
            order += 1
        packs = [Open("p", "a", len(members), 4, 1.0)] if members else []
        placed = {p.trial for p in place(queue, packs)}
        if 0 in placed:
            return
        members += sorted(placed)
        queue = [entry for entry in queue if entry.trial not in placed]
        members = members[1:]  # the oldest ends
    raise AssertionError("the trial of key b never got a place")


groups = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.sampled_from([1, 4, 8])), max_size=20
)


@given(groups, st.integers(1, 4))
def test_placements_respect_capacity_keys_and_workers(
    drawn: list[tuple[str, int, int]], workers: int
) -> None:
    per_key = {key: (replicas, capacity) for key, replicas, capacity in drawn}
    queue = [
        Waiting(i, key, *per_key[key], order=i, share=1 / workers)
        for i, (key, _, _) in enumerate(drawn)
    ]
    placements = place(queue, [])
    by_trial = {entry.trial: entry for entry in queue}
    members: Counter[str | int] = Counter()
    keys: dict[str | int, set[str]] = {}
    indices: dict[int, list[int]] = {}
    for placement in placements:
        members[placement.pack] += len(placement.indices)
        keys.setdefault(placement.pack, set()).add(by_trial[placement.trial].key)
        indices.setdefault(placement.trial, []).extend(placement.indices)
    assert len(members) <= workers
    assert all(len(found) == 1 for found in keys.values())
    for trial, found in indices.items():
        assert sorted(found) == list(range(by_trial[trial].replicas))
    for pack, count in members.items():
        (key,) = keys[pack]
        assert count <= per_key[key][1]
    assert place(queue, []) == placements
    if queue and any(-(-e.replicas // e.capacity) <= workers for e in queue):
        assert placements
