"""`EnvRunnerGroup`: a local environment runner and others in Ray actors, asked one by one or all.

Invariant: what is asked of all is asked at once; weights travel once however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from algorithms.config import AlgorithmConfig
from algorithms.policy import check_policy
from algorithms.sampling.policy_runner import PolicyRunner
from algorithms.sampling.remote import Fleet, Gone, Recipe, check_count
from algorithms.sampling.share import ShareRunner
from tunerl.errors import InvalidInput, TrainableError

Call = Callable[..., Any]
PROBE_S = 30.0  # who takes longer to answer counts as hung, as in RLlib


class EnvRunnerGroup:
    """`num_env_runners` runners in actors (0: the local one alone), beside the local one.

    Of the agent of `config`, or (as older programs have it) of ``policy_class(observation_space,
    action_space, config)`` in the environments that ``env_creator(config)`` makes. A dead runner is
    made anew, `max_num_env_runner_restarts` times in all, unless `restart_failed_env_runners` is
    False; then `ignore_env_runner_failures` leaves it out of what is asked of all. `on_local_made`
    is called with the local one when it has been made. `options` go to each runner. Raises
    `InvalidInput`.
    """

    def __init__(
        self,
        config: AlgorithmConfig | Mapping[str, Any] | None = None,
        *,
        num_env_runners: int | None = None,
        policy_class: Any = None,
        env_creator: Callable[[Any], Any] | None = None,
        seed: int | None = None,
        restart_failed_env_runners: bool = True,
        max_num_env_runner_restarts: int = 1000,
        ignore_env_runner_failures: bool = False,
        sample_timeout_s: float | None = None,
        num_cpus_per_env_runner: float = 1.0,
        on_local_made: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> None:
        own = config if isinstance(config, AlgorithmConfig) else None
        if own is None and (policy_class is None or env_creator is None):
            raise InvalidInput(
                "give the configuration of an algorithm, or policy_class and env_creator"
            )
        if num_env_runners is None:
            num_env_runners = own["num_env_runners"] if own is not None else 0
        count = check_count("num_env_runners", num_env_runners)
        self.config, self.ignore = config, ignore_env_runner_failures
        self.timeout = sample_timeout_s
        restarts = max_num_env_runner_restarts if restart_failed_env_runners else 0

        def arguments(index: int) -> dict[str, Any]:
            given = {"worker_index": index, "num_workers": count, "seed": seed, **options}
            if own is not None:
                return {"config": own.to_dict(), **given}
            classes = {"policy_class": policy_class, "env_creator": env_creator}
            return {"config": dict(config or {}), **classes, **given}

        self._local: Any = None
        spec = own.spec if own is not None else None
        kind: type = RemoteRunner if own is not None else PolicyRunner
        given = {"spec": spec} if own is not None else {}
        self._make_local: Callable[[], Any] = lambda: kind(**given, **arguments(0))
        self._on_local_made = on_local_made
        recipe = Recipe(kind, arguments, spec)
        self.fleet: Fleet | None = None
        if count:
            self.fleet = Fleet(recipe, count, cpus=num_cpus_per_env_runner, restarts=restarts)

    # -- who is there ---------------------------------------------------------------------------

    @property
    def local_env_runner(self) -> Any:
        """The runner of this process; made when it is first asked for."""
        if self._local is None:
            self._local = self._make_local()
            if self._on_local_made is not None:
                self._on_local_made(self._local)
        return self._local

    def local_worker(self) -> Any:
        return self.local_env_runner

    def remote_workers(self) -> list[Any]:
        """The actors; ``ray.get(actor.sample.remote())`` asks one of them."""
        return list(self.fleet.actors.values()) if self.fleet else []

    def num_remote_env_runners(self) -> int:
        return len(self.fleet.actors) if self.fleet else 0

    num_remote_workers = num_remote_env_runners

    def num_healthy_remote_env_runners(self) -> int:
        """How many of the actors answer (dead ones are known at once, busy ones are waited for)."""
        return len(self.healthy_env_runner_ids())

    num_healthy_remote_workers = num_healthy_remote_env_runners

    def healthy_env_runner_ids(self, timeout_seconds: float = PROBE_S) -> list[int]:
        """The numbers of the actors that answer in time."""
        if self.fleet is None:
            return []
        answers = self.fleet.call("ping", timeout=timeout_seconds)
        return [number for number, answer in answers.items() if not isinstance(answer, Gone)]

    def num_remote_worker_restarts(self) -> int:
        """How often an actor was made anew."""
        return self.fleet.restarts if self.fleet else 0

    def probe_unhealthy_env_runners(self, timeout_seconds: float = PROBE_S) -> list[int]:
        """Make those anew that are dead or do not answer in time, with the local one's weights.

        Their numbers. A runner that is busy for longer than `timeout_seconds` is ended, too.
        """
        if self.fleet is None:
            return []
        healthy = set(self.healthy_env_runner_ids(timeout_seconds))
        lost = [number for number in self.fleet.actors if number not in healthy]
        revived = [number for number in lost if self.fleet.restart(number)]
        if revived:
            self.fleet.call("set_weights", self.local_env_runner.get_weights(), only=revived)
        return revived

    restore_unhealthy = probe_unhealthy_env_runners

    # -- asking ---------------------------------------------------------------------------------

    def foreach_env_runner(
        self,
        func: Call | str,
        *,
        local_env_runner: bool = True,
        remote_worker_ids: Iterable[int] | None = None,
        timeout_seconds: float | None = None,
    ) -> list[Any]:
        """``func(runner)`` where each runner lives (or its method of that name): the results, the
        local one's first. Raises what it raises, `TrainableError` for a runner that does not answer
        and may not be made anew."""
        return list(
            self._ask("apply", func, local_env_runner, remote_worker_ids, timeout_seconds).values()
        )

    def foreach_env_runner_with_id(
        self,
        func: Call,
        *,
        local_env_runner: bool = True,
        remote_worker_ids: Iterable[int] | None = None,
        timeout_seconds: float | None = None,
    ) -> list[Any]:
        """``func(number, runner)``; the local one's number is 0."""
        return list(
            self._ask(
                "apply_with_id", func, local_env_runner, remote_worker_ids, timeout_seconds
            ).values()
        )

    foreach_worker = foreach_env_runner
    foreach_worker_with_id = foreach_env_runner_with_id
    foreach_worker_with_index = foreach_env_runner_with_id

    def foreach_env_runner_async(
        self, func: Call | str, *, remote_worker_ids: Iterable[int] | None = None
    ) -> int:
        """Ask the actors without waiting; how many were asked. See `fetch_ready_async_reqs`."""
        if self.fleet is None:
            return 0
        return self.fleet.send("apply", func, only=remote_worker_ids)

    def fetch_ready_async_reqs(
        self, *, timeout_seconds: float | None = 0.0, return_obj_refs: bool = False
    ) -> list[tuple[int, Any]]:
        """(number, result) of each question that was answered meanwhile.

        A runner that died is made anew if it may be; its question is lost.
        """
        if return_obj_refs:
            raise InvalidInput("results come as they are; leave return_obj_refs out")
        if self.fleet is None:
            return []
        found = []
        for number, answer in self.fleet.fetch(timeout_seconds):
            if isinstance(answer, Gone):
                self._revive(number, answer)
            else:
                found.append((number, answer))
        return found

    fetch_ready = fetch_ready_async_reqs

    def _ask(
        self, method: str, func: Call | str, local: bool, only: Any, timeout: float | None
    ) -> dict[int, Any]:
        found: dict[int, Any] = {}
        if self.fleet is not None:
            timeout = self.timeout if timeout is None else timeout
            for number, answer in self.fleet.call(method, func, only=only, timeout=timeout).items():
                if not isinstance(answer, Gone):
                    found[number] = answer
                elif self._revive(number, answer):
                    again = self.fleet.call(method, func, only=[number], timeout=timeout)[number]
                    if isinstance(again, Gone):
                        raise TrainableError(f"environment runner {number}: {again.why}, twice")
                    found[number] = again
        if local:
            found = {0: getattr(self.local_env_runner, method)(func)} | found
        return found

    def _revive(self, number: int, gone: Gone) -> bool:
        """Whether a dead runner was made anew; raises where nobody may overlook it."""
        if self.fleet is not None and self.fleet.restart(number):
            self.fleet.call("set_weights", self.local_env_runner.get_weights(), only=[number])
            return True
        if self.ignore:
            return False
        raise TrainableError(f"environment runner {number} is lost ({gone.why})")

    # -- in step --------------------------------------------------------------------------------

    def sync_weights(
        self,
        policies: Sequence[str] | None = None,
        from_worker_or_learner_group: Any = None,
        *,
        weights: Mapping[str, Any] | None = None,
    ) -> None:
        """Give every runner the local one's weights, or those of another one, or `weights`.

        They go into the object store once. `policies`: may name the one policy there is.
        """
        for policy in policies or ():
            check_policy(policy)
        if weights is None and from_worker_or_learner_group is not None:
            weights = from_worker_or_learner_group.get_weights()
        if weights is not None:
            self.local_env_runner.set_weights(weights)
        if self.fleet is not None:
            own = self.local_env_runner.get_weights()
            self.fleet.call("set_weights", self.fleet.put(own))

    def sync_filters(self) -> None:
        """Merge what each runner saw since the last time into the statistics of all.

        Exactly: as if one had seen all observations (Chan et al.).
        """
        local = self.local_env_runner
        seen = [local.take_gathered()]
        if self.fleet is not None:
            answers = self.fleet.call("take_gathered")
            seen += [answer for answer in answers.values() if not isinstance(answer, Gone)]
        together = local.merge_statistics([part for part in seen if part is not None])
        if self.fleet is not None and together is not None:
            self.fleet.call("set_statistics", self.fleet.put(together))

    sync_env_runner_states = sync_filters

    def stop(self) -> None:
        """Close the environments, end the actors."""
        if self._local is not None:
            self._local.stop()
            self._local = None
        if self.fleet is not None:
            self.fleet.stop()
            self.fleet = None


class RemoteRunner(ShareRunner):
    """A runner that is built from plain settings, where nothing else is known."""

    def __init__(self, spec: Any, config: Mapping[str, Any], **options: Any) -> None:
        super().__init__(AlgorithmConfig.of(spec, config), **options)
