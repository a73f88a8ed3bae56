"""Model ``mcore`` of Triton Inference Server: scores dives, by way of the other models in this repository.

mcore-bundle writes this file as ``model.py`` beside the exemplars. The server's Python needs the package that computes
scores: pip install its folder (no extra: neither torch nor a backend).

Inputs, b dives a request: ``clip`` (b, 3, T, c, c) as ``mcore.read_clip`` returns it, ``dive_number`` (b, 1), empty
where unknown, and ``any_exemplar`` (b, 1), which may be left out. Outputs are the fields of
``mcore_runtime.DiveScore``. Dives of one request may have different numbers of exemplars: the shorter lists end in
empty names and NaN. ``interval_level`` is NaN where ``low`` and ``high`` are the range of the exemplars; those are NaN
too where there is a single exemplar. ``award`` is that of score, ``low`` and ``high``: NaN where there is none, or the
difficulty is not known. ``caution`` must stand beside the score of a network that is not known to have seen a real
dive; it is empty for others. ``why_unlike`` says why a clip is unlike the dives that the bundle knows, and is
empty where it is like them: the score of one that is unlike has no interval, and should count for nothing. ``p_value``
is NaN where the bundle cannot say. ``looks_like`` has the dive numbers that the clip may show, with their
``probabilities``, and ``announced_p_value`` says how little it looks like ``dive_number``: empty, and NaN, where the
bundle cannot say. A dive of unknown number is compared with exemplars of what it looks like. Nothing is known here of a
clip's length in seconds, so slow motion is not found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found, unused-ignore]  # Triton brings it
from numpy.typing import NDArray

from mcore.common.errors import UserError
from mcore.common.likeness import Likeness
from mcore.common.recognition import Recognition, describe
from mcore.common.typed_json import decode
from mcore.config import ClipConfig
from mcore.diving.judging import mean_award
from mcore.video import denormalise
from mcore_runtime.bundle.exemplars import ExemplarBank
from mcore_runtime.bundle.folder import EXEMPLARS_FILE, RECOGNISER_FILE
from mcore_runtime.bundle.recogniser import read_recogniser
from mcore_runtime.bundle.records import ExemplarRecord
from mcore_runtime.scoring.comparison import NO_INTERVAL, Comparison
from mcore_runtime.scoring.likeness import judge, measure
from mcore_runtime.scoring.recognition import likely_numbers

ENCODER, REGRESSOR = "mcore_encode", "mcore_regressor"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Compared:
    """Comparison of one dive with E exemplars."""

    dive: Comparison
    """Those exemplars."""
    delta: NDArray[np.float32]
    """(E,)"""
    stage_deltas: NDArray[np.float32]
    """(E, 3) its shares by stage."""
    transitions: NDArray[np.int64]
    """(2,)"""
    likeness: Likeness | None
    """None: the bundle cannot say."""
    recognition: Recognition | None
    """None: the bundle cannot say."""


class ServingError(Exception):
    """A model that this one calls has failed."""


class TritonPythonModel:
    """Model as Triton calls it; one object for each instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the exemplars; ``args`` as Triton's Python backend documents them."""
        parameters = json.loads(args["model_config"])["parameters"]
        self._max_pairs = int(parameters["max_pairs"]["string_value"])
        exemplars = decode(ExemplarRecord, parameters["exemplars"]["string_value"], "the model's exemplars")
        self._conformal, self._known = exemplars.conformal, exemplars.known_dives
        self._num_compared = exemplars.num_compared
        self._caution = parameters["caution"]["string_value"]
        self._config = decode(ClipConfig, parameters["clip"]["string_value"], "the model's clip")
        self._bank = ExemplarBank.load(Path(__file__).with_name(EXEMPLARS_FILE))
        learned = exemplars.recogniser is not None
        self._recogniser = read_recogniser(Path(__file__).with_name(RECOGNISER_FILE))[0] if learned else None

    def execute(self, requests: list[Any]) -> list[Any]:
        """Score the dives of several requests together; one that cannot be scored does not stop the others."""
        responses: dict[int, Any] = {}
        comparisons: dict[int, list[Comparison]] = {}
        for index, request in enumerate(requests):
            chosen = self._choose(request)
            if isinstance(chosen, list):
                comparisons[index] = chosen
            else:
                responses[index] = chosen
        if comparisons:
            clips = np.concatenate([_input(requests[index], "clip") for index in comparisons])
            dives = [comparison for chosen in comparisons.values() for comparison in chosen]
            try:
                found = iter(self._compare(clips, dives))
            except ServingError as error:
                responses |= dict.fromkeys(comparisons, _failure(str(error), pb_utils.TritonError.INTERNAL))
            else:
                for index, chosen in comparisons.items():
                    responses[index] = _answer([next(found) for _ in chosen], self._caution)
        return [responses[index] for index in range(len(requests))]

    def _choose(self, request: Any) -> list[Comparison] | Any:
        """Find the exemplars of each dive; a response that says why not, where there are none."""
        numbers = _input(request, "dive_number").reshape(-1)
        given = pb_utils.get_input_tensor_by_name(request, "any_exemplar")
        flags = np.zeros(len(numbers), bool) if given is None else given.as_numpy().reshape(-1)
        try:
            return [
                Comparison.choose(self._bank, _text(number) or None, any_exemplar=bool(flag), conformal=self._conformal)
                for number, flag in zip(numbers, flags, strict=True)
            ]
        except UserError as error:
            return _failure(str(error), pb_utils.TritonError.INVALID_ARG)

    def _compare(self, clips: NDArray[np.float32], dives: Sequence[Comparison]) -> list[Compared]:
        """Encode clips (N, 3, T, c, c) at once, and compare all pairs of a dive and an exemplar."""
        encoded = _call(ENCODER, {"clip": clips}, ["features", "logits", "transitions", "tokens"])
        named = [
            self._recognise(*each) for each in zip(encoded["features"], encoded["transitions"], dives, strict=True)
        ]
        possible = [
            dive
            if each is None
            else dive.among(self._bank, likely_numbers(each, self._num_compared), conformal=self._conformal)
            for dive, each in zip(dives, named, strict=True)
        ]
        dives = [
            dive.nearest(tokens, self._num_compared, self._num_compared)
            for dive, tokens in zip(possible, encoded["tokens"], strict=True)
        ]
        counts = [len(dive.bank) for dive in dives]
        query = np.repeat(encoded["tokens"], counts, axis=0)  # (M, 3K, D)
        exemplars = np.concatenate([dive.bank.tokens for dive in dives])  # (M, 3K, D)
        found = [
            _call(REGRESSOR, {"query": query[rows], "exemplars": exemplars[rows]}, ["delta", "stage_deltas"])
            for rows in (slice(start, start + self._max_pairs) for start in range(0, len(query), self._max_pairs))
        ]
        edges = np.cumsum(counts)[:-1]
        deltas = np.split(np.concatenate([part["delta"].reshape(-1) for part in found]), edges)
        stages = np.split(np.concatenate([part["stage_deltas"] for part in found]), edges)
        return [
            Compared(*each)
            for each in zip(
                dives, deltas, stages, encoded["transitions"], self._judge(clips, encoded), named, strict=True
            )
        ]

    def _recognise(
        self, features: NDArray[np.float32], transitions: NDArray[np.int64], dive: Comparison
    ) -> Recognition | None:
        """Say which dive a clip shows, from its features (T, D) and transitions (2,)."""
        if self._recogniser is None:
            return None
        return self._recogniser.recognise(describe(features, transitions), dive.text)

    def _judge(self, clips: NDArray[np.float32], encoded: Arrays) -> list[Likeness | None]:
        """Say of clips (N, 3, T, c, c) whether they are like the dives that the bundle knows."""
        if self._known is None:
            return [None] * len(clips)
        logits, transitions, tokens = (encoded[name] for name in ("logits", "transitions", "tokens"))
        return [
            judge(
                self._known,
                measure(denormalise(clip, self._config), logits[i], transitions[i], tokens[i], self._bank),
            )
            for i, clip in enumerate(clips)
        ]

    def finalize(self) -> None:
        """Nothing to free."""


def _answer(found: Sequence[Compared], caution: str) -> Any:
    """Respond to one request, by the same steps as ``mcore_runtime.Scorer.score_clip``."""
    numbers, awards, exemplars = [], [], []
    for each in found:
        dive = each.dive
        predicted = dive.predict(each.delta)  # (E,)
        if not (np.isfinite(predicted).all() and np.isfinite(each.stage_deltas).all()):
            message = "the models computed a score that is not a number; check them with: mcore-bundle verify"
            return _failure(message, pb_utils.TritonError.INTERNAL)
        is_unlike = each.likeness is not None and bool(each.likeness.reasons)
        p_value = None if each.likeness is None else each.likeness.p_value
        announced = None if each.recognition is None else each.recognition.announced_p_value
        score, interval = dive.score(predicted), NO_INTERVAL if is_unlike else dive.interval(predicted)
        award = None if is_unlike else mean_award(score, interval.low, interval.high, dive.difficulty)
        awards.append([None] * 3 if award is None else [award.value, award.low, award.high])
        numbers.append([score, *interval, p_value, announced])
        exemplars.append(dive.describe(each.delta))
    possible = [() if each.recognition is None else each.recognition.possible for each in found]
    columns = np.array(numbers, np.float64)  # (b, 6); None becomes NaN
    names = ("score", "low", "high", "interval_level", "p_value", "announced_p_value")
    why_unlike = ["; ".join(each.likeness.reasons) if each.likeness is not None else "" for each in found]
    outputs = {
        **{name: columns[:, i : i + 1] for i, name in enumerate(names)},
        "award": np.array(awards, np.float64),
        "caution": np.array([[caution.encode()]] * len(found), np.object_),
        "why_unlike": np.array([[text.encode()] for text in why_unlike], np.object_),
        "transitions": np.stack([each.transitions for each in found]),
        "stage_deltas": np.array([each.dive.stage_shares(each.stage_deltas) for each in found]),
        "looks_like": _texts(possible, "dive_number"),
        "probabilities": _padded(possible, "probability", np.nan, np.float64),
        "exemplar_names": _texts(exemplars, "name"),
        "exemplar_dive_numbers": _texts(exemplars, "dive_number"),
        "exemplar_scores": _padded(exemplars, "score", np.nan, np.float64),
        "exemplar_deltas": _padded(exemplars, "delta", np.nan, np.float64),
    }
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, values) for name, values in outputs.items()])


def _padded(records: Sequence[Sequence[Any]], field: str, filler: Any, dtype: Any) -> NDArray[Any]:
    """A field of the records of each dive (b, longest), where the shorter lists end in fillers."""
    longest = max(1, *map(len, records))
    rows = [[getattr(record, field) for record in each] for each in records]
    return np.array([row + [filler] * (longest - len(row)) for row in rows], dtype).reshape(len(records), longest)


def _texts(records: Sequence[Sequence[Any]], field: str) -> NDArray[np.object_]:
    found = _padded(records, field, "", np.object_)
    return np.array([[text.encode() for text in row] for row in found], np.object_).reshape(found.shape)


def _call(model: str, inputs: Arrays, outputs: list[str]) -> Arrays:
    """Run another model of this server."""
    request = pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=outputs,
        inputs=[pb_utils.Tensor(name, values) for name, values in inputs.items()],
        # Without it, outputs stay on the GPU that made them.
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
    )
    response = request.exec()
    if response.has_error():
        raise ServingError(f"{model}: {response.error().message()}")
    return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in outputs}


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse([], pb_utils.TritonError(message, code))


def _input(request: Any, name: str) -> NDArray[Any]:
    values: NDArray[Any] = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return values


def _text(value: Any) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise UserError(f"the dive number {value!r} is not UTF-8") from None
