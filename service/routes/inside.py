"""What went on inside an experiment: its best over its budget, exploits, rungs. Reads only."""

from __future__ import annotations

from fastapi import APIRouter

from service import schemas_inside as schemas
from service.deps import TheExperiment, TheStore, TheTrial
from service.schemas import clean
from tunerl import spec
from tunerl.policy import mutations, policy_log, policy_of
from tunerl.results.incumbent import incumbent
from tunerl.standings import standings

router = APIRouter(prefix="/experiments/{id}", tags=["inside"])


@router.get("/incumbent")
def get_incumbent(experiment: TheExperiment, store: TheStore) -> schemas.Incumbent:
    """The best objective so far against what all trials had taken by then; 422 without one."""
    return schemas.Incumbent.of(incumbent(store, experiment.id))


@router.get("/policy")
def get_policy(experiment: TheExperiment, store: TheStore) -> list[schemas.Exploit]:
    """Who took over from whom, when, and what was changed on the way, in order."""
    log = policy_log(store, experiment.id)
    configs = {trial.number: trial.config for trial in store.trials(experiment.id)} if log else {}
    found = mutations(log, configs)
    return [schemas.Exploit.of(*entry) for entry in zip(log, found, strict=True)]


@router.get("/trials/{number}/policy")
def get_trial_policy(
    experiment: TheExperiment, trial: TheTrial, store: TheStore
) -> list[schemas.Setting]:
    """The settings under which the state of a trial came to be, from its first ancestor on."""
    return [
        schemas.Setting(iteration=iteration, config=clean(config))
        for iteration, config in policy_of(store, experiment.id, trial.number)
    ]


@router.get("/rungs")
def get_rungs(experiment: TheExperiment, store: TheStore) -> schemas.Standings:
    """Brackets and rungs, where the scheduler has them, and why it stopped whom."""
    found = standings(store, experiment.id, spec.from_json(experiment.spec))
    return schemas.Standings.of(found)
