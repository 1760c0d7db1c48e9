"""Keeps freed memory with the process.

An update makes and frees tensors of some hundred kilobytes, thousands of times a second. The C
library would give their pages back to the system and ask for them again, cleared, each time.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # names of malloc.h
MEGABYTE = 1 << 20
SETTINGS = {
    MMAP_THRESHOLD: 32 * MEGABYTE,  # the most that glibc takes: larger ones come from the system
    TRIM_THRESHOLD: 256 * MEGABYTE,  # free memory that stays
    TOP_PAD: 16 * MEGABYTE,
}


@functools.cache
def keep_pages() -> bool:
    """Have this process keep what it frees, up to 256 MB; whether that could be set.

    What the user has set by ``MALLOC_...`` stays; so does everything where there is no glibc.
    """
    own = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"}
    if sys.platform != "linux" or own & os.environ.keys():
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, value) for name, value in SETTINGS.items())
