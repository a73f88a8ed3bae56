"""Watch a camera, stream or file and score its dives as they happen; torch is not needed.

    mcore-run rtsp://user:password@camera/stream --bundle demo/bundle --start-list list.csv --session sessions/final
    mcore-run camera://0?size=1280x720 --bundle demo/bundle --dive 407C --web
    mcore-run "synthetic://meet?seed=1&size=240x240" --bundle demo/bundle
    mcore-run camera://0 --bundle bundle --meet "diverecorder://0.0.0.0:58091?event=A" --web
    mcore-run --resume sessions/final

Everything is kept in the session's folder: results are on the disk before anybody sees them, and --resume goes on after
a crash or power cut, at the right athlete. A start list is a CSV file; python -m mcore_runtime.competition prints one.

In a terminal, Enter says that a dive has just ended (where the detector missed one, and with --mode manual), s skips an
athlete, b goes back to repeat, v voids the last dive, a accepts the last that is unlike the dives that the bundle
knows, q stops.

With --json every dive is a line of JSON on standard output. Ctrl-C ends the run after the last score; a terminal that
is closed (SIGHUP) does not end it. Exit code: 0 when every dive was scored; 3 when one was not, or is
unlike the dives that the bundle knows and was not accepted, no dive was found or most frames were lost, which the last
line says; 2 for a mistake in the command; 1 for a fault of this program.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from mcore.common.command_line import run_command_line
from mcore.common.errors import UserError
from mcore.common.likeness import describe_known_dives
from mcore.common.signals import stop_on_signal
from mcore.diving import NEWEST_YEAR, EditionYear, edition_of
from mcore.video import native
from mcore_runtime.backends import BackendName
from mcore_runtime.bundle.records import Precision
from mcore_runtime.competition import Competition, StartList, read_start_list
from mcore_runtime.health import HealthReader
from mcore_runtime.integrations.prometheus import serve_metrics
from mcore_runtime.integrations.systemd import watched
from mcore_runtime.integrations.webhooks import Webhooks, WebhookTarget, parse_target, read_secret
from mcore_runtime.live.keys import HELP, keys
from mcore_runtime.live.pipeline import Mode
from mcore_runtime.live.run_settings import RunSettings, settle_settings, source_identity
from mcore_runtime.live.scorer_thread import ScorerThread
from mcore_runtime.live.session import LiveSession
from mcore_runtime.live.terminal import RunLog, Terminal, outlive_terminal, summary_line
from mcore_runtime.meet.address import parse_meet
from mcore_runtime.meet.feed import MeetFeed
from mcore_runtime.scoring.recognition import describe_recogniser
from mcore_runtime.scoring.scorer import Scorer
from mcore_runtime.session import SessionStore
from mcore_runtime.session.database import DATABASE_FILE, LOCK_FILE, is_begun
from mcore_runtime.session.summary import RunSummary, summarise
from mcore_runtime.sources import SourceState, open_source, parse_source, with_decoder
from mcore_runtime.sources.options import Decoder
from mcore_runtime.web import DEFAULT_ADDRESS, check_page, parse_address, read_token, serve

_NOT_WELL = 3
"""Exit code of a run that went to its end, but not well; 1 is Python's for a program that crashed, and services have to
tell them apart."""
_ENDED_KEY, _SEEN_KEY = "ended", "seen"
"""State of a session: the recordings that it has watched to their ends; whether a frame ever came."""
_ALREADY = "this file was watched to its end before, and is not scored again"


@dataclass(frozen=True)
class RunArguments:
    """Score the dives of a camera, stream or file as they happen."""

    source: tyro.conf.Positional[str | None] = None
    """A path, camera://0, csi://0, rtsp://HOST/PATH, http://HOST/PATH, gst://PIPELINE or synthetic://meet."""
    bundle: Path | None = None
    """Folder made by mcore-export."""
    session: Path | None = None
    """Folder for a new session's results, clips and frames; default: sessions/DATE-TIME."""
    resume: Path | None = None
    """Go on with the session in this folder; what is not given is as it was."""
    or_resume: bool = False
    """With --session: go on with the session if its folder holds one. For services, which are started again and
    again."""
    start_list: Path | None = None
    """CSV file: order, athlete, club, dive_number, height, difficulty, round. Each dive is the next entry's."""
    meet: str | None = None
    """Listen to the meet's software: diverecorder://HOST:PORT?event=A says who dives what, and what the judges gave.
    HOST is 0.0.0.0 or an address of this machine; event is A (default) or B; with &sender=IP only this computer is
    believed. Where a start list says something else, the meet is right."""
    show_at_once: bool = False
    """With --meet: show each score at once. Default: it is kept from page, terminal and webhooks until the judges'
    awards are in, so that it can influence nobody."""
    decoder: Decoder | None = None
    """What decodes a file, rtsp or http; default: software. hardware: what the machine has, or else software, which is
    said; a device's name: this one and no other."""
    edition: EditionYear | None = None
    """Year of the diving rules with which difficulties are compared and said; default: the newest that is held."""
    dive: str | None = None
    """Dive number, such as 407C, of dives of which the start list says nothing; default: unknown, which compares each
    with exemplars of what it looks like, or with all where the bundle cannot say."""
    any_exemplar: bool = False
    """Accept a --dive of which the bundle has no exemplars: it is compared with all."""
    mode: Mode | None = None
    """What cuts the clips: auto: the detector (default); manual: Enter, after a dive; whole-file: the file is one
    dive."""
    web: str | None = None
    """Show a page at HOST:PORT; --web alone: 127.0.0.1:8000."""
    token_file: Path | None = None
    """File with the token that page and metrics ask for; default: none on this machine, a new one for others."""
    metrics: str | None = None
    """Serve Prometheus metrics at HOST:PORT/metrics, such as 127.0.0.1:9400; the page has them too, with --web."""
    webhook: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Send every dive's record to this address, as JSON by HTTP POST or by MQTT (mqtt://broker/topic); may be given
    several times. What cannot be sent is tried again, also by --resume. MCORE_WEBHOOK_SECRET in the environment signs
    it: docs/reference/webhooks.md."""
    headless: bool = False
    """Neither a page nor keys: for services."""
    json: bool = False
    """Every dive as a line of JSON on standard output; a later line of the same number takes its place."""
    quiet: bool = False
    """Print warnings only."""
    no_clips: bool = False
    """Keep no videos: the stream need not be encoded."""
    backend: BackendName | None = None
    """Backend; default: auto, the best that the bundle and this machine have."""
    precision: Precision | None = None
    """Precision of the graphs, one that the bundle was exported with; default: the backend's, else fp32."""
    threads: int | None = None
    """CPU threads; default: the backend's choice."""
    num_exemplars: int | None = None
    """Compare with this many exemplars, which look most like the dive; default: as the bundle says, mostly 10."""
    accept_unlike: bool = False
    """Count scores also of dives that are unlike those that the bundle knows; default: the operator accepts them one by
    one, on the page."""
    exact: bool = False
    """Compute every score from the whole clip, bit for bit as mcore-score does from a file. Default: most of it is
    computed before the clip is over, where bundle and backend allow it; scores then differ by rounding."""

    def __post_init__(self) -> None:
        if self.source is not None:
            with_decoder(parse_source(self.source), self.decoder)
        if self.session is not None and self.resume is not None:
            raise UserError("--session begins a session, --resume goes on with one; give one of them")
        if self.or_resume and self.session is None:
            raise UserError("--or-resume says what to do where the folder of --session has a session; give --session")
        if self.token_file is not None and self.web is None and self.metrics is None:
            raise UserError("--token-file is for the page and the metrics; give --web or --metrics too")
        if self.metrics is not None:
            parse_address(self.metrics)
        if self.meet is not None:
            parse_meet(self.meet)
        if self.show_at_once and self.meet is None and self.resume is None and not self.or_resume:
            raise UserError("--show-at-once is about the judges' awards of a meet; give --meet too, or leave it out")
        _targets(self)
        if self.headless and self.web is not None:
            raise UserError("--web shows a page, --headless shows none; give one of them")
        if self.web is not None:
            check_page(self.web)

    def settings(self, facts: dict[str, Any] | None) -> RunSettings:
        """Put the settings together, from what is given and what was before."""
        given = {
            "address": self.source,
            "bundle": self.bundle,
            "mode": self.mode,
            "backend": self.backend,
            "precision": self.precision,
            "threads": self.threads,
            "num_exemplars": self.num_exemplars,
            "clips": False if self.no_clips else None,
            "exact": True if self.exact else None,
            "accept_unlike": True if self.accept_unlike else None,
            "decoder": self.decoder,
            "edition": self.edition,
            "meet": self.meet,
            "show_at_once": True if self.show_at_once else None,
        }
        return settle_settings(given, facts, self.resume)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    given = _with_address(sys.argv[1:] if argv is None else argv)
    return run_command_line(RunArguments, _run, prog="mcore-run", doc=__doc__, argv=given)


def _with_address(argv: Sequence[str]) -> list[str]:
    """Give ``--web`` its default address where none follows; what follows may be the source."""
    arguments = list(argv)
    for index, argument in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else "-"
        if argument == "--web" and not re.fullmatch(r"([^/]*:)?\d+", following):
            return [*arguments[: index + 1], DEFAULT_ADDRESS, *arguments[index + 1 :]]
    return arguments


def _run(arguments: RunArguments) -> int:
    if arguments.or_resume and arguments.session is not None and is_begun(arguments.session):
        arguments = replace(arguments, session=None, or_resume=False, resume=arguments.session)
    log = RunLog(
        Console(stderr=arguments.json, highlight=False, soft_wrap=True), json=arguments.json, quiet=arguments.quiet
    )
    start_list = (
        StartList(())
        if arguments.start_list is None
        else read_start_list(arguments.start_list, edition_of(arguments.edition or NEWEST_YEAR))
    )
    for warning in start_list.warnings:
        log.warning(f"{arguments.start_list}: {warning}")
    with ExitStack() as stack:
        before = None if arguments.resume is None else stack.enter_context(SessionStore.open(arguments.resume))
        settings = arguments.settings(None if before is None else before.facts)
        scorer = stack.enter_context(ScorerThread(settings.open_scorer))
        _check(arguments, scorer.scorer, start_list, log)
        log.info(f"{settings.bundle}: {_described(scorer.scorer)}")
        for doubt in (scorer.scorer.bundle.caution, native.warning()):
            if doubt is not None:
                log.warning(doubt)
        log.info(describe_known_dives(scorer.scorer.known_dives))
        log.info(describe_recogniser(scorer.scorer.recogniser_record))
        store = _begun(arguments, settings, scorer.scorer) if before is None else before
        ended = source_identity(settings.address)
        try:
            if before is not None:
                _compare(before, settings, scorer.scorer, log)
            log.info(f"session in {store.folder}")
            if before is not None and before.dives() and ended in (store.load_state(_ENDED_KEY) or []):
                log.always(f"{_ALREADY}: mcore-report {store.folder}. To score it anew, begin another session")
                summary = summarise(store.dives(), frames=0, dropped=0, connections=0)
            else:
                summary = _watch(arguments, settings, scorer, store, start_list, log)
        finally:
            problem = store.close()
            if before is None and not store.dives():
                _remove_unused_session(store)
        log.info(summary_line(summary))
        if not summary.dives and settings.mode == "auto" and ended is not None:
            log.always("if the file shows one dive, cut to it, add --mode whole-file")
    if problem is not None:
        raise UserError(f"results are missing on the disk: {problem}")
    is_well = summary.scored + summary.void == summary.dives and not summary.doubts
    return 0 if is_well else _NOT_WELL


def _remove_unused_session(store: SessionStore) -> None:
    """Leave no session behind where not a single frame came: corrected, the same command must work."""
    if store.load_state(_SEEN_KEY):
        return
    with suppress(OSError):
        for name in (DATABASE_FILE, LOCK_FILE):
            (store.folder / name).unlink(missing_ok=True)
        store.folder.rmdir()  # unless there is something of others


def _watch(
    arguments: RunArguments,
    settings: RunSettings,
    scorer: ScorerThread,
    store: SessionStore,
    start_list: StartList,
    log: RunLog,
) -> RunSummary:
    """Run the session until its source ends, or somebody stops it."""
    token = None if arguments.token_file is None else read_token(arguments.token_file)
    with ExitStack() as stack:
        source = stack.enter_context(open_source(with_decoder(parse_source(settings.address), settings.decoder)))
        terminal = stack.enter_context(Terminal(log))
        webhooks = stack.enter_context(_webhooks(arguments, store, log))
        meet = None if settings.meet is None else stack.enter_context(MeetFeed(parse_meet(settings.meet), store.folder))
        session = stack.enter_context(
            LiveSession(
                source,
                scorer,
                settings.live,
                store=store,
                competition=Competition.begin(start_list.entries),
                dive_number=arguments.dive,
                read_health=HealthReader().read,
                meet=meet,
            )
        )
        if settings.meet is not None:
            log.info(_meet_line(settings))
        terminal.listen(session.subscribe(1024))
        webhooks.listen(session.subscribe)
        stack.enter_context(stop_on_signal(say_so=False, on_stop=session.stop))
        stack.enter_context(outlive_terminal(lambda: store.log("terminal", "was closed; the run goes on")))
        if arguments.web is not None:
            stack.enter_context(serve(session, arguments.web, token=token, log=log.always))
        if arguments.metrics is not None:
            url = stack.enter_context(serve_metrics(session.snapshot, arguments.metrics, token=token))
            log.always(f"metrics: {url}")
        stack.enter_context(watched(session.is_working, session.describe))
        if not arguments.headless and stack.enter_context(keys(session, log.warning)):
            log.info(HELP)
        try:
            summary = session.run()
        finally:
            if source.status().frames:
                store.save_state(_SEEN_KEY, True)
        identity = source_identity(settings.address)
        if source.state is SourceState.ENDED and identity is not None:
            store.save_state(_ENDED_KEY, [*(store.load_state(_ENDED_KEY) or []), identity])
        if arguments.web is not None and not session.is_stopped:
            log.info("the source has ended; the page stays until Ctrl-C")
            session.wait_for_stop()
            session.drain()
            summary = session.summary()
    return summary


def _begun(arguments: RunArguments, settings: RunSettings, scorer: Scorer) -> SessionStore:
    folder = arguments.session or Path("sessions") / datetime.now().strftime("%Y%m%d-%H%M%S")
    return SessionStore.create(folder, settings.facts(scorer))


def _check(arguments: RunArguments, scorer: Scorer, start_list: StartList, log: RunLog) -> None:
    """Find out before the first dive which numbers the bundle does not know."""
    known = scorer.exemplars.counts()
    if arguments.dive is not None:
        scorer.select(arguments.dive, any_exemplar=arguments.any_exemplar)
    numbers = {entry.dive_number for entry in start_list.entries} - {None}
    if strange := sorted(number for number in numbers if number is not None and number not in known):
        log.warning(f"the bundle has no exemplars of {', '.join(strange)}: these dives are compared with all exemplars")


def _compare(store: SessionStore, settings: RunSettings, scorer: Scorer, log: RunLog) -> None:
    """Say what is other than it was when the session began: its scores may not be comparable."""
    now = settings.facts(scorer)
    for name in ("source", "bundle_sha256", "backend", "provider", "precision"):
        if store.facts.get(name) != now[name]:
            text = f"{name.replace('_', ' ')} was {store.facts.get(name)} when the session began, and is {now[name]}"
            log.warning(text)
            store.log("resumed", text)
    store.log("resumed", f"went on with {_described(scorer)}")


def _described(scorer: Scorer) -> str:
    how = (
        "with a head start"
        if scorer.streaming_backbone is not None
        else f"from whole clips ({scorer.why_not_streaming})"
    )
    return f"{scorer.backend.name}, {scorer.backend.provider}, {scorer.compute_dtype}, {how}"


def _meet_line(settings: RunSettings) -> str:
    held = "are shown at once" if settings.show_at_once else "are held back until the judges' awards are in"
    return f"listening to the meet at {settings.meet}; scores {held}"


def _targets(arguments: RunArguments) -> tuple[list[WebhookTarget], bytes | None]:
    """Read where dives are sent, and what signs them."""
    return [parse_target(url) for url in arguments.webhook], read_secret() if arguments.webhook else None


def _webhooks(arguments: RunArguments, store: SessionStore, log: RunLog) -> Webhooks:
    targets, secret = _targets(arguments)
    for target in targets:
        log.info(f"dives go to {target}, {'not signed' if secret is None else 'signed'}")
    return Webhooks(store, targets, secret, log.always)


if __name__ == "__main__":
    sys.exit(main())
