"""Search spaces: domains with Ray Tune's names, `Space`, JSON and YAML both ways."""

from __future__ import annotations

from tunerl.space.codec import from_json, from_yaml, python_in, python_parts, to_json, to_yaml
from tunerl.space.domains import (
    Choice,
    Grid,
    SampleFrom,
    When,
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
from tunerl.space.numeric import Domain, Integer, Normal, Numeric, Real
from tunerl.space.space import Space

__all__ = [
    "Choice",
    "Domain",
    "Grid",
    "Integer",
    "Normal",
    "Numeric",
    "Real",
    "SampleFrom",
    "Space",
    "When",
    "choice",
    "from_json",
    "from_yaml",
    "grid_search",
    "lograndint",
    "loguniform",
    "python_in",
    "python_parts",
    "qlograndint",
    "qloguniform",
    "qrandint",
    "qrandn",
    "quniform",
    "randint",
    "randn",
    "sample_from",
    "to_json",
    "to_yaml",
    "uniform",
    "when",
]
