"""TuneRL: tunes the hyperparameters of reinforcement-learning agents.

Invariant: importing this is instant; each name is loaded when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunerl.author import (
        Checkpoint,
        Trainable,
        get_checkpoint,
        get_context,
        report,
        with_parameters,
        with_resources,
    )
    from tunerl.callbacks import (
        Callback,
        CSVLoggerCallback,
        JsonLoggerCallback,
        LoggerCallback,
        MLflowLoggerCallback,
        TBXLoggerCallback,
        WandbLoggerCallback,
    )
    from tunerl.notebook import JupyterNotebookReporter
    from tunerl.progress import CLIReporter
    from tunerl.registry import register_env, register_trainable
    from tunerl.results import Result, ResultGrid
    from tunerl.schedulers import (
        PB2,
        ASHAScheduler,
        AsyncHyperBandScheduler,
        DEHBScheduler,
        DistributeResources,
        DistributeResourcesToTopJob,
        FIFOScheduler,
        HyperBandForBOHB,
        HyperBandScheduler,
        MedianStoppingRule,
        OptunaPruner,
        PopulationBasedTraining,
        PopulationBasedTrainingReplay,
        ResourceChangingScheduler,
        SeedHalvingScheduler,
    )
    from tunerl.searchers import (
        DEHB,
        BasicVariantGenerator,
        ConcurrencyLimiter,
        QuasiRandomSearch,
        Repeater,
        TuneBOHB,
    )
    from tunerl.searchers.optuna import OptunaSearch
    from tunerl.space import (
        choice,
        grid_search,
        lograndint,
        loguniform,
        qlograndint,
        qloguniform,
        qrandint,
        qrandn,
        quniform,
        randint,
        randn,
        sample_from,
        uniform,
        when,
    )
    from tunerl.spec import ExperimentSpec
    from tunerl.stoppers import (
        CombinedStopper,
        ExperimentPlateauStopper,
        FunctionStopper,
        MaximumIterationStopper,
        NoopStopper,
        Stopper,
        TimeoutStopper,
        TrialPlateauStopper,
    )
    from tunerl.store import Store
    from tunerl.tuner import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner

_HOMES = {
    "tunerl.author": (
        "Checkpoint",
        "Trainable",
        "get_checkpoint",
        "get_context",
        "report",
        "with_parameters",
        "with_resources",
    ),
    "tunerl.callbacks": (
        "CSVLoggerCallback",
        "Callback",
        "JsonLoggerCallback",
        "LoggerCallback",
        "MLflowLoggerCallback",
        "TBXLoggerCallback",
        "WandbLoggerCallback",
    ),
    "tunerl.notebook": ("JupyterNotebookReporter",),
    "tunerl.progress": ("CLIReporter",),
    "tunerl.registry": ("register_env", "register_trainable"),
    "tunerl.results": ("Result", "ResultGrid"),
    "tunerl.schedulers": (
        "PB2",
        "ASHAScheduler",
        "AsyncHyperBandScheduler",
        "DEHBScheduler",
        "DistributeResources",
        "DistributeResourcesToTopJob",
        "FIFOScheduler",
        "HyperBandForBOHB",
        "HyperBandScheduler",
        "MedianStoppingRule",
        "OptunaPruner",
        "PopulationBasedTraining",
        "PopulationBasedTrainingReplay",
        "ResourceChangingScheduler",
        "SeedHalvingScheduler",
    ),
    "tunerl.searchers": (
        "DEHB",
        "BasicVariantGenerator",
        "ConcurrencyLimiter",
        "OptunaSearch",
        "QuasiRandomSearch",
        "Repeater",
        "TuneBOHB",
    ),
    "tunerl.space": (
        "choice",
        "grid_search",
        "lograndint",
        "loguniform",
        "qlograndint",
        "qloguniform",
        "qrandint",
        "qrandn",
        "quniform",
        "randint",
        "randn",
        "sample_from",
        "uniform",
        "when",
    ),
    "tunerl.spec": ("ExperimentSpec",),
    "tunerl.stoppers": (
        "CombinedStopper",
        "ExperimentPlateauStopper",
        "FunctionStopper",
        "MaximumIterationStopper",
        "NoopStopper",
        "Stopper",
        "TimeoutStopper",
        "TrialPlateauStopper",
    ),
    "tunerl.store": ("Store",),
    "tunerl.tuner": ("CheckpointConfig", "FailureConfig", "RunConfig", "TuneConfig", "Tuner"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "DEHB",
    "PB2",
    "ASHAScheduler",
    "AsyncHyperBandScheduler",
    "BasicVariantGenerator",
    "CLIReporter",
    "CSVLoggerCallback",
    "Callback",
    "Checkpoint",
    "CheckpointConfig",
    "CombinedStopper",
    "ConcurrencyLimiter",
    "DEHBScheduler",
    "DistributeResources",
    "DistributeResourcesToTopJob",
    "ExperimentPlateauStopper",
    "ExperimentSpec",
    "FIFOScheduler",
    "FailureConfig",
    "FunctionStopper",
    "HyperBandForBOHB",
    "HyperBandScheduler",
    "JsonLoggerCallback",
    "JupyterNotebookReporter",
    "LoggerCallback",
    "MLflowLoggerCallback",
    "MaximumIterationStopper",
    "MedianStoppingRule",
    "NoopStopper",
    "OptunaPruner",
    "OptunaSearch",
    "PopulationBasedTraining",
    "PopulationBasedTrainingReplay",
    "QuasiRandomSearch",
    "Repeater",
    "ResourceChangingScheduler",
    "Result",
    "ResultGrid",
    "RunConfig",
    "SeedHalvingScheduler",
    "Stopper",
    "Store",
    "TBXLoggerCallback",
    "TimeoutStopper",
    "Trainable",
    "TrialPlateauStopper",
    "TuneBOHB",
    "TuneConfig",
    "Tuner",
    "WandbLoggerCallback",
    "choice",
    "get_checkpoint",
    "get_context",
    "grid_search",
    "lograndint",
    "loguniform",
    "qlograndint",
    "qloguniform",
    "qrandint",
    "qrandn",
    "quniform",
    "randint",
    "randn",
    "register_env",
    "register_trainable",
    "report",
    "sample_from",
    "uniform",
    "when",
    "with_parameters",
    "with_resources",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {_hint(name)}")
    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value


def _hint(name: str) -> str:
    if name == "run":
        return "use Tuner(trainable, param_space=config, ...).fit()"
    if name in ("tune", "train"):
        return f"its names are here: import tunerl as {name}"
    from tunerl.errors import nearest

    return nearest(name, __all__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
