"""One function over many tasks; nothing here knows what the work is."""

from tinyvirat_build.engine.local import (
    DEFAULT_TIMEOUT,
    Ended,
    Failure,
    default_workers,
    run_local,
)

__all__ = ["DEFAULT_TIMEOUT", "Ended", "Failure", "default_workers", "run_local"]
