"""Optional packages: their import, and the command that installs what is missing."""

from __future__ import annotations

import importlib
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mcore.common.errors import MissingDependencyError, UserError
from mcore.common.typed_json import decode

PROJECT = "mcore-edge"
_FOR_OTHER_GPUS = ("gpu", "tensorrt", "rtx")
"""Extras whose packages have no code for a Jetson's GPU, or would hide JetPack's own; see ``pyproject.toml``."""


@dataclass(frozen=True)
class _DirectUrl:
    """What of pip's ``direct_url.json`` is needed: where a package that is on no index came from."""

    url: str


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say how to get it.

    Args:
        module: dotted module name, such as ``"onnxruntime.quantization"``.
        extra: the extra of this project that installs it, such as ``"train"``.
        purpose: what needs it, as the start of a sentence: ``"Training"``.

    Raises:
        MissingDependencyError: the package cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        # A package that is there may lack another one: torch.utils.tensorboard is part of torch and needs tensorboard.
        package = (error.name or module).partition(".")[0]
        raise MissingDependencyError(
            f"{purpose} needs the package {package!r}, which cannot be imported ({error}). "
            f"Install it with: {install_command(extra)}"
        ) from error


def require_all(*modules: str, extra: str, purpose: str) -> None:
    """Make sure that all optional packages are there, before anything is begun; see ``require``."""
    for module in modules:
        require(module, extra, purpose)


def install_command(extra: str) -> str:
    """Return a command that installs an extra.

    This project is on no package index, so its name alone would not do: the command names the folder that it was
    installed from, where that still exists, else what to do in a checkout. On a Jetson the extra ``jetson`` takes the
    place of those for other GPUs.
    """
    if extra in _FOR_OTHER_GPUS and has_jetson_kernel():
        extra = "jetson"
    source = _source_folder()
    if source is not None:
        return f"pip install '{source}[{extra}]'"
    return f"pip install '.[{extra}]' (in the folder of {PROJECT}'s sources)"


def has_jetson_kernel() -> bool:
    """Return whether this is JetPack's kernel, by the same name as the extras' markers; true in containers too."""
    return "tegra" in platform.release()


def _source_folder() -> Path | None:
    """Folder that pip installed this project from; None: it is gone, or was none."""
    try:
        text = distribution(PROJECT).read_text("direct_url.json")
        url = urlsplit("" if text is None else decode(_DirectUrl, text, "direct_url.json").url)
    except (PackageNotFoundError, UserError, ValueError):
        return None
    folder = Path(url2pathname(url.path))
    return folder if url.scheme == "file" and (folder / "pyproject.toml").is_file() else None
