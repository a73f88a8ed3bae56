"""Checks of a dive's labels against themselves and the diving rules; nothing here opens an image."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from mcore.common.errors import DiveNumberError
from mcore.config import ClipConfig
from mcore.data.findings import Finding
from mcore.data.labels import LabelledDive
from mcore.data.leaks import repeats
from mcore.data.manifest import DiveRecord
from mcore.diving import NEWEST, DiveNumber, Edition, difficulties, why_no_difficulty
from mcore.diving.difficulty import HEIGHTS_M, SYNCHRO_DIFFICULTY
from mcore.diving.judging import COUNTED_AWARDS, MAX_AWARD
from mcore.diving.label_difficulty import fits_score, older_difficulty
from mcore.video.sampling import sample_indices

_ROUNDING = 0.005 + 1e-9
"""Scores are given to the hundredth."""
_STEPS = (2, 4)
"""Transitions of an annotated dive, FineDiving: 3 to 5 steps."""

TRANSITION_FIGURES = (
    "labelled",
    "usable",
    "published_first_past_middle",
    "published_last_before_middle",
    "sampled_first_past_middle",
    "sampled_last_before_middle",
)

DifficultyClass = Literal["rule_book", "synchro_2_0", "unexplained", "not_given", "no_dive_number"]


def check_labels(dive: LabelledDive, edition: Edition = NEWEST) -> Iterator[Finding]:
    """Check one dive's labels.

    Args:
        dive: as its data set gives it.
        edition: of the rules.
    """
    if dive.problem is not None:
        yield Finding("error", "labels", dive.name, dive.problem)
    if dive.record is None:
        return
    yield from _check_dive_number(dive.name, dive.record)
    yield from _check_score(dive.name, dive.record)
    yield from _check_difficulty(dive.name, dive.record, edition)
    if dive.step_frames is not None:
        yield from _check_steps(dive.name, dive.step_frames, dive.record)
    if dive.record.split is None:
        yield Finding("warning", "split", dive.name, "in no split")


def classify_difficulty(record: DiveRecord, edition: Edition = NEWEST) -> DifficultyClass:
    """Compare a dive's difficulty with the rules' from any height; data sets do not say the board's."""
    if record.difficulty is None:
        return "not_given"
    try:
        dive = DiveNumber.parse(record.dive_number)
    except DiveNumberError:
        return "no_dive_number"
    if any(math.isclose(value, record.difficulty) for value in difficulties(dive, edition).values()):
        return "rule_book"
    return "synchro_2_0" if math.isclose(record.difficulty, SYNCHRO_DIFFICULTY) else "unexplained"


def check_set(dives: Sequence[LabelledDive]) -> Iterator[Finding]:
    """Check the dives together: duplicates, and dive numbers without exemplars or partners."""
    records = [(dive.name, dive.record) for dive in dives if dive.record is not None]
    numbers: dict[str, Counter[str]] = defaultdict(Counter)
    for _, record in records:
        numbers[record.dive_number][str(record.split)] += 1
    named: set[tuple[int, str | None]] = set()
    for position, again in repeats([record for _, record in records]):
        (name, record), (other, repeated) = records[position], records[again]
        if (again, record.split) in named:  # of a dive that is there ten times, nine findings are enough
            continue
        named.add((again, record.split))
        if record.split != repeated.split:
            message = f"in {record.split} is the same dive as {_where(other, repeated)} in {repeated.split}"
            yield Finding("error", "across-splits", name, message)
        else:
            yield Finding("error", "duplicate", name, f"is listed again: {_where(other, repeated)}")
    for number, counts in sorted(numbers.items()):
        scored = counts["test"] + counts["val"]
        if scored and not counts["train"]:
            message = f"{scored} dive(s) to be scored, and no training dive as their exemplar"
            yield Finding("warning", "no-exemplar", number, message)
        elif counts["train"] == 1:
            yield Finding("warning", "no-partner", number, "only one training dive, so no training pair")


def transition_figures(dives: Sequence[LabelledDive], config: ClipConfig = ClipConfig()) -> dict[str, int]:  # noqa: B008
    """Count where transitions lie, and which the published decoding cannot reach.

    The published decoding takes the first transition from the first half of the sampled frames and the second from
    the second half. ``published_*`` count as its authors label, by the last source frame of the step before;
    ``sampled_*`` count as this project trains, by the first sampled frame of the step.
    """
    figures = dict.fromkeys(TRANSITION_FIGURES, 0)
    for dive in dives:
        record, steps = dive.record, dive.step_frames
        if record is None or not steps or not record.num_frames or record.num_frames < 1:
            continue
        figures["labelled"] += 1
        figures["usable"] += record.transition_frames is not None
        # Of the labels in their order, unusable ones included: this is about the labels.
        figures["published_first_past_middle"] += 2 * (steps[0] - 1) >= record.num_frames
        figures["published_last_before_middle"] += 2 * (steps[-1] - 1) < record.num_frames
        late, early = _unreachable_for_decoding(steps, record.num_frames, config.num_frames)
        figures["sampled_first_past_middle"] += late
        figures["sampled_last_before_middle"] += early
    return figures


def _where(name: str, record: DiveRecord) -> str:
    return f"{name} ({record.listed_at})" if record.listed_at else name


def _check_dive_number(name: str, record: DiveRecord) -> Iterator[Finding]:
    try:
        DiveNumber.parse(record.dive_number)
    except DiveNumberError as error:
        where = f"{record.listed_at}: " if record.listed_at else ""
        yield Finding("error", "dive-number", name, f"{where}{error}")


def _check_score(name: str, record: DiveRecord) -> Iterator[Finding]:
    if not math.isfinite(record.score) or record.score < 0:
        yield Finding("error", "score-range", name, f"a score of {record.score}; allowed: 0 and more")
    elif record.difficulty is not None and math.isfinite(record.difficulty):
        # Fewer points than one counted half award gives are no score: "3,1" of difficulty may have become 3 and 1.
        least, most = record.difficulty / 2, COUNTED_AWARDS * MAX_AWARD * record.difficulty
        if record.score > most + _ROUNDING or 0 < record.score < least - _ROUNDING:
            message = (
                f"a score of {record.score} at difficulty {record.difficulty}; allowed: 0, {least:.2f} to {most:.2f}"
            )
            yield Finding("error", "score-range", name, message)
        elif record.difficulty > 0 and not fits_score(record.score, record.difficulty):
            yield _score_of_other_difficulty(name, record, record.difficulty)


def _score_of_other_difficulty(name: str, record: DiveRecord, difficulty: float) -> Finding:
    older = older_difficulty(record.dive_number, difficulty, record.score)
    message = f"no awards make {record.dive_number} at {difficulty} a score of {record.score}"
    if older is None:
        return Finding("warning", "score-awards", name, message)
    return Finding("warning", "older-difficulty", name, f"{message}; at {older}, its difficulty before 2017, they do")


def _check_difficulty(name: str, record: DiveRecord, edition: Edition) -> Iterator[Finding]:
    value = record.difficulty
    if value is not None and not (math.isfinite(value) and value > 0):
        yield Finding("error", "difficulty", name, f"a difficulty of {value}; allowed: above 0")
    elif classify_difficulty(record, edition) == "unexplained":
        known = difficulties(record.dive_number, edition)
        rules = ", ".join(f"{factor} from {height:g} m" for height, factor in known.items())
        rules = rules or str(why_no_difficulty(record.dive_number, max(HEIGHTS_M), edition))
        yield Finding("warning", "difficulty", name, f"{record.dive_number} at {value}; {edition}: {rules}")


def _check_steps(name: str, steps: Sequence[int], record: DiveRecord) -> Iterator[Finding]:
    if len(steps) < _STEPS[0]:
        yield Finding(
            "error", "label-order", name, f"{len(steps)} transition(s) at {list(steps)}; a dive has at least 2"
        )
    elif len(steps) > _STEPS[1]:
        yield Finding("warning", "label-order", name, f"{len(steps) + 1} steps; dives are annotated with 3 to 5")
    if any(before >= after for before, after in itertools.pairwise(steps)):
        yield Finding("error", "label-order", name, f"transitions at {list(steps)} do not increase")
    if not steps or record.num_frames is None:
        return
    if min(steps) < 1 or max(steps) >= record.num_frames:
        message = f"transitions at {list(steps)}; allowed in a clip of {record.num_frames} frames: 1 to "
        yield Finding("error", "label-range", name, message + str(record.num_frames - 1))
        return
    late, early = _unreachable_for_decoding(steps, record.num_frames, ClipConfig().num_frames)
    if late or early:
        where = "the first lies in the second half" if late else "the last lies in the first half"
        message = f"transitions at {list(steps)} of {record.num_frames} frames: {where}, out of the published decoding"
        yield Finding("warning", "decoding", name, message + "'s reach")


def _unreachable_for_decoding(steps: Sequence[int], num_source_frames: int, num_frames: int) -> tuple[bool, bool]:
    """Return whether the first transition is too late, and the last too early, for the published decoding."""
    indices = sample_indices(num_source_frames, num_frames)
    first, last = np.searchsorted(indices, [steps[0], steps[-1]]).tolist()
    return first >= num_frames // 2, last < num_frames // 2
