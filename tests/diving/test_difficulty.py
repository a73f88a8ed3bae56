"""Degrees of difficulty against the rules.

``difficulties.csv`` holds the values that World Aquatics' competition regulations of 25 June 2025 list (appendix 9,
pages 172 to 174, and appendix 11, pages 178 to 181), by dive and height.
"""

from __future__ import annotations

import csv
import itertools
import runpy
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from mcore.common.errors import DiveNumberError, UserError
from mcore.diving import (
    EDITIONS,
    NEWEST,
    NEWEST_YEAR,
    DiveNumber,
    EditionYear,
    difficulties,
    difficulty,
    edition_of,
    why_no_difficulty,
)
from mcore.diving.difficulty import HEIGHTS_M
from mcore.diving.editions import FINA_2017
from mcore.diving.label_difficulty import describe_difficulty, fitting_difficulty, older_difficulty

LISTED = Path(__file__).with_name("difficulties.csv")

# The worked examples of the rules.
EXAMPLES: dict[float, str] = {
    3: "207B 3.9, 309B 4.7, 207C 3.6, 309C 4.4, 5253B 3.4, 5255B 3.8, 5355B 3.7",
    10: "307B 3.7, 309B 4.8, 307C 3.4, 309C 4.5, 5371B 3.3, 5371C 3.0, 5257B 4.1, 6247D 4.0",
}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def facts(reference_dir: Path) -> Path:
    """Folder of facts of the rules of 2025, with their pages."""
    folder = reference_dir / "rules_2025"
    if not folder.is_dir():
        pytest.skip(f"no facts of the rules at {folder}")
    return folder


@pytest.mark.parametrize("height_m", EXAMPLES)
def test_the_rules_own_examples(height_m: float) -> None:
    for example in EXAMPLES[height_m].split(", "):
        number, expected = example.split()
        assert difficulty(number, height_m) == float(expected), example


@pytest.mark.parametrize("edition", EDITIONS, ids=str)
def test_every_listed_difficulty(edition: object) -> None:
    compared = 0
    for row in read_csv(LISTED):
        for height in HEIGHTS_M:
            if (text := row[f"{height:g}"]) and (edition is NEWEST or not row["dive"].startswith("64")):
                assert difficulty(row["dive"], height, edition) == float(text), (row["dive"], height)  # type: ignore[arg-type]
                compared += 1
    assert compared == (973 if edition is NEWEST else 950)  # 23 inward armstand dives are new


def test_the_listed_difficulties_are_those_of_the_facts(facts: Path) -> None:
    rows = read_csv(facts / "dd_table_wa2025.csv")
    given = {(row["dive"] + row["position"], float(row["height_m"])): float(row["dd_printed"]) for row in rows}
    held = {(row["dive"], height): row[f"{height:g}"] for row in read_csv(LISTED) for height in HEIGHTS_M}
    assert given == {key: float(text) for key, text in held.items() if text}
    assert len(given) == 973


def test_what_rule_1_6_4_does_not_allow_has_no_difficulty(facts: Path) -> None:
    rows = read_csv(facts / "product_gives_value_not_permitted.csv")
    reasons = {(row["dive"], row["height_m"]): list(row.values())[-1] for row in rows}
    assert sum(reason == "position not permitted" for reason in reasons.values()) == 441 + 906
    for (dive, height), reason in reasons.items():
        assert difficulty(dive, float(height)) is None, dive
        why = why_no_difficulty(dive, float(height))
        assert ("rule 1.6.4" in str(why)) == (reason == "position not permitted"), (dive, why)


def test_other_dives_have_the_earlier_transcriptions_values(reference_dir: Path, facts: Path) -> None:
    """Beside what it gets wrong: four dives from 3 m, and dives that may not be made."""
    earlier = runpy.run_path(str(reference_dir / "degree_of_difficulty.py"))
    wrong = {("108B", 3), ("108C", 3), ("408B", 3), ("408C", 3)}
    wrong |= {(row["dive"], int(row["height_m"])) for row in read_csv(facts / "product_gives_value_not_permitted.csv")}
    texts = [f"{g}0{n}{p}" for g, n, p in itertools.product("1234", range(1, 12), "ABC")]
    texts += [f"5{d}{n}{t}{p}" for d, n, t, p in itertools.product("1234", range(1, 10), range(1, 10), "ABCD")]
    texts += [f"6{d}{n}{t or ''}{p}" for d, n, t, p in itertools.product("123", range(10), range(10), "ABC")]
    for text, height in itertools.product(texts, (3, 10)):
        if (text, height) not in wrong:
            assert difficulty(text, height) == earlier["DD"](text, height == 10), (text, height)


@pytest.mark.parametrize(
    ("dive", "height_m", "expected"),
    [
        ("108B", 3, 3.8),  # entry unnatural from a springboard, natural from a platform
        ("108C", 3, 3.4),
        ("408B", 3, 4.2),
        ("408C", 3, 3.8),
        ("108C", 1, 4.0),
        ("108B", 10, 4.1),
        ("103B", 1, 1.7),
        ("407C", 5, 3.8),  # not listed: by the formula
        ("115B", 5, 2.9),
        ("113B", 7.5, 1.8),
        ("208B", 5, 4.4),  # listed, though the formula has no value
        ("646B", 10, 3.4),
        ("640A", 7.5, 1.7),
    ],
)
def test_difficulties(dive: str, height_m: float, expected: float) -> None:
    assert difficulty(dive, height_m) == expected
    assert difficulties(dive)[height_m] == expected
    assert why_no_difficulty(dive, height_m) is None


@pytest.mark.parametrize(
    ("dive", "height_m", "words"),
    [
        ("5152A", 3, "rule 1.6.4 does not allow A (straight) for this dive; allowed: B (pike) or C (tuck)"),
        ("5131B", 1, "allowed: D (free)"),
        ("5111D", 10, "allowed: A (straight) or B (pike) or C (tuck)"),
        ("6241A", 5, "rule 1.6.4"),
        ("6112D", 10, "one somersault or more"),
        ("612B", 3, "armstand dives are made from a platform"),
        ("610A", 1, "armstand dives are made from a platform"),
        ("107A", 3, "no value for its position from 3 m"),
        ("317C", 10, "no value for its flying"),
        ("1011B", 10, "no value for its position"),
        ("1011C", 3, "no value for its number of somersaults"),
        ("108C", 5, "no value for its number of somersaults from 5 m"),
        ("6442D", 10, "no value for its twists"),
    ],
)
def test_why_there_is_none(dive: str, height_m: float, words: str) -> None:
    assert difficulty(dive, height_m) is None
    assert words in str(why_no_difficulty(dive, height_m))


@pytest.mark.parametrize("height_m", [0, 2, 7, 20, float("nan")])
def test_other_heights_are_refused(height_m: float) -> None:
    with pytest.raises(UserError, match=r"1, 3, 5, 7\.5, 10 m"):
        difficulty("107B", height_m)


def test_editions() -> None:
    assert EDITIONS[-1] is NEWEST
    assert [edition.valid_from for edition in EDITIONS] == [date(2017, 9, 12), date(2025, 6, 25)]
    assert [str(edition) for edition in EDITIONS] == ["FINA, 12 September 2017", "World Aquatics, 25 June 2025"]
    assert difficulty("644C", 10, FINA_2017) is None
    assert "FINA, 12 September 2017 have no armstand dives" in str(why_no_difficulty("644C", 10, FINA_2017))
    assert difficulty("610A", 10, FINA_2017) == difficulty("610A", 10) == 1.6  # its number was 600A


# --- Difficulties of labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dive", "label", "score", "fitting"),
    [
        ("307C", 3.4, 74.25, 3.3),  # made with the difficulty before 2017
        ("307c ", 3.4, 87.45, 3.3),
        ("305B", 3.0, 37.7, 2.9),
        ("207C", 3.6, 77.0, 3.5),
        ("5253B", 3.4, 84.15, 3.3),
        ("307C", 3.4, 56.1, 3.4),  # fits both
        ("305C", 2.7, 41.85, 2.7),  # the label is as old as the score
        ("405B", 2.8, 51.6, 2.8),  # fits nothing
        ("207C", 3.3, 57.8, 3.3),  # 10 m, which did not change
        ("107B", 3.1, 3.1 * 0.6 * 37.5, 3.1),  # a synchronised panel's
        ("700X", 3.4, 74.25, 3.4),
    ],
)
def test_the_difficulty_that_a_score_was_made_with(dive: str, label: float, score: float, fitting: float) -> None:
    assert fitting_difficulty(dive, label, score) == fitting
    assert older_difficulty(dive, label, score) == (None if fitting == label else fitting)


@pytest.mark.parametrize("unknown", [None, 0.0, float("nan"), float("inf")])
def test_without_a_difficulty_none_fits(unknown: float | None) -> None:
    assert fitting_difficulty("307C", unknown, 74.25) != fitting_difficulty("307C", unknown, 74.25)  # nan


@pytest.mark.parametrize(
    ("dive", "value", "words"),
    [
        ("107B", 3.1, "difficulty 3.1 (from 3 or 7.5 m; World Aquatics, 25 June 2025)"),
        ("407C", 3.2, "difficulty 3.2 (from 10 m; World Aquatics, 25 June 2025)"),
        ("407C", 2.0, "difficulty 2.0 (assigned in synchronised diving)"),
        ("407C", 3.3, "difficulty 3.3 (not in the rules of World Aquatics, 25 June 2025)"),
        ("5152A", 3.3, "difficulty 3.3 (not in the rules of World Aquatics, 25 June 2025)"),
        (None, 3.3, "difficulty 3.3"),
        ("plunge", 3.3, "difficulty 3.3"),
    ],
)
def test_difficulties_in_words(dive: str | None, value: float, words: str) -> None:
    assert describe_difficulty(dive, value) == words


def test_what_is_no_dive_number_has_no_difficulty() -> None:
    for function in (difficulties, DiveNumber.parse):
        with pytest.raises(DiveNumberError):
            function("12")


@pytest.mark.parametrize("year", get_args(EditionYear))
def test_every_year_is_an_edition(year: EditionYear) -> None:
    assert str(edition_of(year).valid_from.year) == year
    assert edition_of(NEWEST_YEAR) is NEWEST
    assert len(get_args(EditionYear)) == len(EDITIONS)
