"""The labelling page's HTTP interface: clips, their frames, and labels that are on the disk when they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mcore.common.errors import UserError
from mcore.common.typed_json import decode
from mcore_runtime.labelling.clips import LabelSession, SessionClip, propose
from mcore_runtime.labelling.label import Label, check, difficulties_of, difficulty_of
from mcore_runtime.labelling.store import LabelStore
from mcore_runtime.web.answers import ERRORS, FOLDER, files_at, json_answer, page
from mcore_runtime.web.serialisation import words_of

_STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class _Change:
    """What the page sends."""

    seen: int
    """Version that the person saw."""
    label: Label


def make_app(
    store: LabelStore, sessions: Sequence[LabelSession], second_views: Mapping[str, SessionClip] | None = None
) -> Starlette:
    """Return the application; it checks no rights, see ``mcore_runtime.web.access_control``.

    Args:
        store: labels of the list.
        sessions: whose clips are labelled.
        second_views: clips of the sessions that are shown beside another one, by that one's name.
    """
    beside = second_views or {}
    every = [clip for session in sessions for clip in session.clips]
    shown = [clip for clip in every if clip not in beside.values()]
    clips = [*shown, *beside.values()]
    places = {clip.name: index for index, clip in enumerate(clips)}

    def of(request: Request) -> SessionClip:
        index: int = request.path_params["index"]
        if index >= len(clips):
            raise HTTPException(404, f"there is no clip {index}")
        return clips[index]

    def listed(_: Request) -> Response:
        return json_answer({"list": str(store.listing), "clips": [c.name for c in shown], "verdicts": verdicts()})

    def verdicts() -> list[str]:
        known = store.verdicts()
        return [known.get(clip.name, "open") for clip in shown]

    def described(clip: SessionClip, times_s: Sequence[float]) -> dict[str, Any]:
        second = None if clip.name not in beside else places[beside[clip.name].name]
        return _described(store, clip, times_s) | {"second": second}

    def record(request: Request) -> Response:
        clip = of(request)
        try:
            frames = clip.frames()
        except UserError as error:  # a person says then that it is a bad clip
            return json_answer(described(clip, ()) | {"times_s": [], "sizes": [], "unreadable": str(error)})
        sizes = [len(jpeg) for jpeg in frames.jpegs]
        return json_answer(described(clip, frames.times_s) | {"times_s": frames.times_s, "sizes": sizes})

    def frames(request: Request) -> Response:
        # All in one answer: whoever looks for the very frame cannot wait for each.
        return Response(b"".join(of(request).frames().jpegs), media_type="application/octet-stream")

    def save(request: Request, body: bytes) -> Response:
        clip = of(request)
        try:
            change = decode(_Change, body, "the label")
        except UserError as error:
            raise HTTPException(422, str(error)) from None
        label = replace(change.label, by_rule=False)
        if label.difficulty is None:
            label = replace(label, difficulty=difficulty_of(label.dive_number, clip.height_m, clip.edition))
        checked = None
        times_s: tuple[float, ...] = ()
        if label.verdict in ("open", "dive"):
            times_s = clip.frames().times_s
        if label.verdict == "dive":
            checked = check(label, clip.facts(len(times_s)), clip.edition)
            if checked.record is None:
                raise HTTPException(422, "; ".join(checked.faults))
        store.save(clip.session, clip.name, change.seen, label, None if checked is None else checked.record)
        return json_answer(described(clip, times_s) | {"verdicts": verdicts()})

    async def save_body(request: Request) -> Response:
        return await run_in_threadpool(save, request, await request.body())

    clip = "/api/clips/{index:number}"
    routes = [
        Route("/", page(_STATIC / "label.html")),
        files_at("/static", FOLDER / "static"),
        files_at("/labelling", _STATIC),
        Route("/api/clips", listed),
        Route(clip, record),
        Route(clip, save_body, methods=["POST"]),
        Route(f"{clip}/frames", frames),
    ]
    return Starlette(routes=routes, exception_handlers=ERRORS)


def _described(store: LabelStore, clip: SessionClip, times_s: Sequence[float]) -> dict[str, Any]:
    """A clip and its label, as the page shows them."""
    saved, dive, judges = store.newest(clip.name), clip.view.dive, clip.view.judges
    label = saved.label or (propose(clip, tuple(times_s)) if times_s else Label())
    checked = check(label, clip.facts(len(times_s)), clip.edition)
    return {
        "name": clip.name,
        "version": saved.version,
        "label": label,
        "is_proposed": saved.label is None,
        "moments_agree": clip.moments_agree,
        "score": None if checked.record is None else checked.record.score,
        "faults": checked.faults,
        "warnings": checked.warnings,
        "words": words_of(label.dive_number),
        "difficulties": list(difficulties_of(label.dive_number, clip.edition).items()),
        "possible": clip.possible_numbers,
        "athlete": clip.view.athlete,
        "status": str(dive.status),
        "judges": None
        if judges is None
        else {"points": judges.points, "awards": judges.awards_text, "penalty": judges.penalty},
    }
