"""mcore-run --webhook, from the command to the receiver."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcore_runtime.integrations.webhooks import SECRET_VARIABLE
from mcore_runtime.integrations.webhooks.__main__ import main as send_rest
from mcore_runtime.run import main
from mcore_runtime.session import read_session
from tests.numbered_video import write_numbered
from tests.runtime.integrations.webhooks.receiver import receiving


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path) -> list[str]:
    """A run over a file that is one dive."""
    video = write_numbered(tmp_path / "v.mp4", 40)
    return [str(video), "--bundle", str(tiny_bundle), "--mode", "whole-file", "--session", str(tmp_path / "s")]


def test_a_dive_goes_to_all_receivers_and_what_one_refused_is_sent_later(
    run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving() as one, receiving(lambda count: (410, {})) as other:
        assert main([*run, "--webhook", one.url, "--webhook", other.url]) == 0
        (record,) = read_session(tmp_path / "s").dives
        (request,) = one.requests
        assert request.data["dive"] == record.to_json()
        printed = capsys.readouterr().out
        assert f"dives go to {one.url.partition('/dives')[0]}, not signed\n" in printed
        assert "HTTP 410, it wants no more" in printed
        assert "letmein" not in printed
        assert len(other.requests) == 1
        other.behave = lambda count: (200, {})
        assert send_rest([str(tmp_path / "s"), other.url]) == 0
        assert other.requests[1].data == request.data


def test_mistakes_are_found_before_a_session_is_begun(
    run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*run, "--webhook", "scores.example"]) == 2
    monkeypatch.setenv(SECRET_VARIABLE, "hunter2")
    assert main([*run, "--webhook", "http://127.0.0.1:1/"]) == 2
    said = capsys.readouterr().err
    assert "begins with https://, http://, mqtts:// or mqtt://" in said
    assert "openssl rand" in said
    assert "hunter2" not in said
    assert not (tmp_path / "s").exists()
