"""Every place that shows a score says beside it where the network is not known to have seen a real dive."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcore.common.errors import BundleError
from mcore.data.trained_on import TrainedOn, caution
from mcore_runtime import run, score
from mcore_runtime.bundle.folder import MANIFEST_FILE, Bundle, write_manifest
from mcore_runtime.competition import Competition
from mcore_runtime.doctor.bundles import bundle as check_bundle
from mcore_runtime.doctor.findings import Level
from mcore_runtime.integrations.webhooks.outbox import Outbox
from mcore_runtime.integrations.webhooks.target import parse_target
from mcore_runtime.live.session_state import SessionState
from mcore_runtime.live.snapshot import state_part
from mcore_runtime.live.terminal import dive_line
from mcore_runtime.session import LiveDive, SessionStore, report_command, rescore_command
from mcore_runtime.session.data import read_session
from tests.numbered_video import write_numbered
from tests.runtime.session.made import make_session

KINDS: dict[str, TrainedOn | None] = {
    "rendered": TrainedOn(rendered=240),
    "not stated": TrainedOn(not_stated=17),
    "not recorded": None,
    "real": TrainedOn(real=3, rendered=240),
}


@pytest.fixture(scope="module", params=KINDS)
def case(request: pytest.FixtureRequest, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A bundle, a session that it scored, and what must stand beside its scores."""
    folder = tmp_path_factory.mktemp("cautious")
    bundle = Path(shutil.copytree(tiny_bundle, folder / "bundle"))
    write_manifest(bundle, replace(Bundle.open(bundle).manifest, trained_on=KINDS[request.param]))
    return bundle, make_session(folder / "session", bundle), caution(KINDS[request.param])


def in_words(said: str | None) -> str:
    return said or "for real dives"  # what every caution ends with


def check(text: str, said: str | None) -> None:
    """It is there, or nothing of the kind is."""
    folded = " ".join(text.split()).lower()
    assert (in_words(said).lower() in folded) == (said is not None), text


def test_a_bundle_keeps_it(case: Any, tmp_path: Path) -> None:
    bundle, _, said = case
    opened = Bundle.open(bundle)
    assert opened.caution == said
    values = json.loads((bundle / MANIFEST_FILE).read_text())
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    del values["trained_on"]  # as older exports wrote it
    (copy / MANIFEST_FILE).write_text(json.dumps(values))
    assert Bundle.open(copy).caution == caution(None)
    (copy / MANIFEST_FILE).write_text(json.dumps({**values, "trained_on": {"real": "many"}}))
    with pytest.raises(BundleError, match="damaged"):
        Bundle.open(copy)


def test_scores_of_files(case: Any, dive_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, _, said = case
    outputs = ["--json", str(tmp_path / "s.json"), "--report", str(tmp_path / "r.html")]
    assert score.main([str(bundle), str(dive_video), "--whole-clip", "--dive", "407C", *outputs]) == 0
    check(capsys.readouterr().out, said)
    document = json.loads((tmp_path / "s.json").read_text())
    assert document["dives"][0]["caution"] == said
    assert document["bundle"]["trained_on"] == json.loads((bundle / MANIFEST_FILE).read_text())["trained_on"]
    check((tmp_path / "r.html").read_text(), said)


def test_the_doctor_finds_it_before_anybody_dives(case: Any) -> None:
    bundle, _, said = case
    found = [finding for finding in check_bundle(bundle) if "trained on" in finding.text]
    assert [(finding.level, finding.text) for finding in found] == [
        (Level.HINT, said) if said else (Level.OK, "trained on 3 real dives and 240 rendered dives")
    ]


def test_a_live_run(case: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, _, said = case
    video = write_numbered(tmp_path / "v.mp4", 40)
    flags = ["--mode", "whole-file", "--no-clips", "--headless", "--session", str(tmp_path / "s")]
    assert run.main([str(video), "--bundle", str(bundle), "--dive", "407C", *flags]) == 0
    begun, _, dive = capsys.readouterr().out.partition("#1 407C: ")
    check(begun, said)
    check(dive, said)


@pytest.mark.parametrize("name", ["r.html", "d.csv", "d.json"])
def test_reports_and_exports_of_a_session(case: Any, tmp_path: Path, name: str) -> None:
    _, session, said = case
    path = tmp_path / name
    assert report_command.main([str(session), f"--{path.suffix[1:]}", str(path)]) == 0
    text = path.read_text(encoding="utf-8-sig")
    check(text, said)
    if name == "d.csv":
        assert [row["caution"] for row in csv.DictReader(text.splitlines())] == [said or "", "", "", said or "", ""]


@pytest.mark.parametrize(
    "shown",
    [
        lambda dive: dive_line(dive),
        lambda dive: json.dumps(state_part(SessionState(Competition(), None, {1: dive}))),
        lambda dive: dive.to_text(),
    ],
    ids=["terminal", "snapshot", "record"],
)
def test_a_dive(case: Any, shown: Callable[[LiveDive], str]) -> None:
    _, session, said = case
    check(shown(read_session(session).dives[0]), said)


def test_what_is_sent_and_what_is_scored_again(case: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, session, said = case
    copy = Path(shutil.copytree(session, tmp_path / "copy"))
    with SessionStore.open(copy) as store:
        message = json.loads(Outbox(store, parse_target("https://scores.example")).message(1).body)
    assert message["data"]["dive"]["result"]["caution"] == said
    assert rescore_command.main([str(copy), "--dives", "1"]) == 0
    check(capsys.readouterr().out, said)


def test_results_of_older_versions_do_not_say(case: Any) -> None:
    _, session, _ = case
    values = read_session(session).dives[0].to_json()
    del values["result"]["caution"]
    assert LiveDive.from_json(values, "it").result is not None
    check(dive_line(LiveDive.from_json(values, "it")), caution(None))
