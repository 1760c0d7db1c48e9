"""What a program may do while its experiment runs: `Callback`, and loggers made of it."""

from tunerl.callbacks.base import Callback, TrialView
from tunerl.callbacks.files import CSVLoggerCallback, JsonLoggerCallback
from tunerl.callbacks.logger import LoggerCallback
from tunerl.callbacks.tensorboard import TBXLoggerCallback
from tunerl.callbacks.trackers import MLflowLoggerCallback, WandbLoggerCallback

__all__ = [
    "CSVLoggerCallback",
    "Callback",
    "JsonLoggerCallback",
    "LoggerCallback",
    "MLflowLoggerCallback",
    "TBXLoggerCallback",
    "TrialView",
    "WandbLoggerCallback",
]
