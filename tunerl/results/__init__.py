"""What came of an experiment: `ResultGrid` and `Result`."""

from tunerl.results.grid import ResultGrid
from tunerl.results.result import Result

__all__ = ["Result", "ResultGrid"]
