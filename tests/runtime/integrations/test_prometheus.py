"""Metrics for Prometheus: complete, without names of people, and for those only who may."""

from __future__ import annotations

import http.client
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mcore.common.errors import UserError
from mcore_runtime.integrations.prometheus import metrics_text, serve_metrics
from mcore_runtime.web import serve
from tests.runtime.web.fake_session import FakeSession

LINE = re.compile(r'mcore_[a-z_]+(\{[a-z]+="[^"\\]*"\})? -?[0-9][0-9.e+-]*')
TOKEN = "a-token-of-enough-letters"


@pytest.fixture
def session(tmp_path: Path) -> FakeSession:
    return FakeSession(tmp_path)


def samples(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in lines), lines
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def get(url: str, path: str | None = None, **headers: str) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=10)
    connection.request("GET", parts.path if path is None else path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_figures_are_in_base_units(session: FakeSession) -> None:
    values = samples(metrics_text(session.snapshot()))
    assert "mcore_power_watts" not in values  # what the machine does not tell is left out
    assert values["mcore_memory_bytes"] == 300e6
    assert values["mcore_disk_free_bytes"] == 50e9
    assert values["mcore_cpu_cores_used"] == pytest.approx(0.6)
    assert values["mcore_frames_total"] == 1000
    assert values['mcore_source_state{state="streaming"}'] == 1
    assert values['mcore_source_state{state="retrying"}'] == 0
    assert values["mcore_error"] == 0
    session.state["problem"] = "the disk is full"
    assert samples(metrics_text(session.snapshot()))["mcore_error"] == 1


def test_names_and_kinds_are_an_interface(session: FakeSession) -> None:
    session.health["power_w"] = 11.5
    lines = metrics_text(session.snapshot()).splitlines()
    kinds = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))
    assert kinds == {
        "mcore_dives": "gauge",
        "mcore_time_to_score_seconds": "histogram",
        "mcore_clips_waiting": "gauge",
        "mcore_source_state": "gauge",
        "mcore_frames_total": "counter",
        "mcore_frames_dropped_total": "counter",
        "mcore_connections_total": "counter",
        "mcore_source_failures_total": "counter",
        "mcore_frames_per_second": "gauge",
        "mcore_source_silent_seconds": "gauge",
        "mcore_error": "gauge",
        "mcore_memory_bytes": "gauge",
        "mcore_disk_free_bytes": "gauge",
        "mcore_cpu_cores_used": "gauge",
        "mcore_temperature_celsius": "gauge",
        "mcore_power_watts": "gauge",
    }


def test_times_to_score_are_a_histogram(session: FakeSession) -> None:
    snapshot = session.snapshot()
    times_ms = [None, 50.0, 51.0, 131.0, 700.0, 12_000.0]
    dives = [{"status": "scored", "time_to_score_ms": time_ms} for time_ms in times_ms]
    values = samples(metrics_text({**snapshot, "dives": dives}))
    buckets = {name: value for name, value in values.items() if "_bucket" in name}
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets['mcore_time_to_score_seconds_bucket{le="0.05"}'] == 1
    assert buckets['mcore_time_to_score_seconds_bucket{le="0.2"}'] == 3
    assert buckets['mcore_time_to_score_seconds_bucket{le="10"}'] == 4
    assert buckets['mcore_time_to_score_seconds_bucket{le="+Inf"}'] == 5
    assert values["mcore_time_to_score_seconds_count"] == 5
    assert values["mcore_time_to_score_seconds_sum"] == pytest.approx(12.932)
    none = samples(metrics_text({**snapshot, "dives": []}))
    assert none["mcore_time_to_score_seconds_count"] == 0


def test_nobody_is_named(session: FakeSession) -> None:
    text = metrics_text(session.snapshot())
    for secret in ("Ada", "Springfield", "camera://0", "autumn-cup", str(session.folder)):
        assert secret not in text


def test_the_server_gives_metrics_and_nothing_else(session: FakeSession) -> None:
    with serve_metrics(session.snapshot, "127.0.0.1:0") as url:
        status, text = get(url)
        assert status == 200
        assert "mcore_frames_total" in samples(text)
        assert get(url, "/")[0] == 404
        assert get(url, "/metrics", Host="evil.example")[0] == 403  # a name that was pointed here
    with pytest.raises(OSError, match="refused"):
        get(url)


def test_elsewhere_a_token_is_needed(session: FakeSession) -> None:
    with (
        pytest.raises(UserError, match="could be read by anybody: give --token-file"),
        serve_metrics(session.snapshot, "0.0.0.0:0"),
    ):
        pass
    with serve_metrics(session.snapshot, "0.0.0.0:0", token=TOKEN) as url:
        local = f"http://127.0.0.1:{urlsplit(url).port}/metrics"
        assert get(local)[0] == 401
        assert get(local, Authorization=f"Bearer {TOKEN}x")[0] == 401
        assert get(local, Authorization=f"Basic {TOKEN}")[0] == 401
        assert get(local, Authorization=f"Bearer {TOKEN}")[0] == 200


def test_the_page_has_them_too(session: FakeSession) -> None:
    pytest.importorskip("starlette", reason="needs the extra web")
    with serve(session, "127.0.0.1:0", log=lambda text: None) as page:
        status, text = get(page.url, "/metrics")
    assert status == 200
    assert "mcore_frames_total" in samples(text)
