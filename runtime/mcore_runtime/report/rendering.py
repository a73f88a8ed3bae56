"""Rendering of the reports' templates by Jinja2; everything from outside is escaped there, and nowhere else."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mcore.common.conformal import LEVEL
from mcore.config import STAGES
from mcore_runtime.report.charts import predictions_chart, share_chart, signed, times_chart
from mcore_runtime.report.filmstrip import data_uri
from mcore_runtime.scoring.result import percent


def render(template: str, **values: Any) -> str:
    """Fill one of the package's templates."""
    return _environment().get_template(template).render(**values)


def local_time(text: Any, pattern: str) -> str:
    """Return a time that is stored in UTC as this machine's clock showed it; as it is where it is no time."""
    try:
        return datetime.fromisoformat(str(text)).astimezone().strftime(pattern)
    except ValueError:
        return str(text or "")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mcore_runtime.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["interval_level"] = LEVEL
    environment.filters.update(
        points="{:.1f}".format,
        seconds="{:.2f}".format,
        sentence=lambda text: text[:1].upper() + text[1:],
        signed=signed,
        percent=percent,
        data_uri=data_uri,
        local_time=local_time,
    )
    environment.globals.update(
        STAGES=STAGES, share_chart=share_chart, predictions_chart=predictions_chart, times_chart=times_chart
    )
    return environment
