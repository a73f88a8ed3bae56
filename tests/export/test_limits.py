"""Limits of parity: one table, from which the command's help and its defaults follow."""

from __future__ import annotations

import pytest

from mcore_export.cli import LimitArguments, main
from mcore_export.parity.limits import DEFAULT_LIMITS, describe_defaults
from mcore_runtime.bundle.records import Precision


@pytest.mark.parametrize("name", ["points", "flips", "srcc", "relative"])
def test_help_shows_the_defaults_of_the_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert f"default: {describe_defaults(name)}." in " ".join(capsys.readouterr().out.split())


def test_a_flag_replaces_one_limit_only() -> None:
    limits = LimitArguments(max_score_difference=2.0).over(DEFAULT_LIMITS["fp16"])
    assert limits.points == 2.0
    assert (limits.relative, limits.flips, limits.tie, limits.srcc) == (0.03, 0.02, 2e-3, 0.999)


@pytest.mark.parametrize("looser", [("fp32", "fp16"), ("fp16", "int8")])
def test_fewer_bits_are_allowed_more(looser: tuple[Precision, Precision]) -> None:
    exact, rough = (DEFAULT_LIMITS[name] for name in looser)
    assert exact.points < rough.points
    assert exact.relative < rough.relative
    assert exact.flips < rough.flips
