"""Tests of optional packages: the command that installs them is one that works."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mcore.common import optional
from mcore.common.errors import MissingDependencyError
from mcore.common.optional import install_command, require

IN_A_CHECKOUT = "pip install '.[web]' (in the folder of mcore-edge's sources)"


def installed_from(monkeypatch: pytest.MonkeyPatch, direct_url: str | None) -> None:
    found = SimpleNamespace(read_text=lambda name: direct_url)
    monkeypatch.setattr(optional, "distribution", lambda name: found)


def test_the_folder_it_was_installed_from_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "a checkout"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    installed_from(monkeypatch, f'{{"url": "{folder.as_uri()}", "dir_info": {{"editable": true}}}}')
    assert install_command("web") == f"pip install '{folder}[web]'"
    with pytest.raises(MissingDependencyError, match=r"^A page needs the package 'nowhere'.* Install it with: pip"):
        require("nowhere.at_all", "web", "A page")
    (folder / "pyproject.toml").unlink()  # moved away meanwhile
    assert install_command("web") == IN_A_CHECKOUT


@pytest.mark.parametrize(
    "direct_url", [None, '{"url": "https://host/mcore.git"}', "{}", "no JSON", '{"url": "file://[bad"}']
)
def test_without_such_a_folder_a_checkout_is_asked_for(monkeypatch: pytest.MonkeyPatch, direct_url: str | None) -> None:
    installed_from(monkeypatch, direct_url)
    assert install_command("web") == IN_A_CHECKOUT


@pytest.mark.parametrize(("kernel", "extra"), [("5.15.148-tegra", "jetson"), ("6.8.0-49-generic", "gpu")])
def test_a_jetson_is_not_advised_what_is_for_other_gpus(
    monkeypatch: pytest.MonkeyPatch, kernel: str, extra: str
) -> None:
    installed_from(monkeypatch, None)
    monkeypatch.setattr("platform.release", lambda: kernel)
    assert f"'.[{extra}]'" in install_command("gpu")
    assert "'.[web]'" in install_command("web")
