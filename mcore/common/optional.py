"""Import of optional packages: one helper that says which extra installs what is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from mcore.common.errors import MissingDependencyError


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
        raise MissingDependencyError(
            f"{purpose} needs the package {module.partition('.')[0]!r}, which cannot be imported ({error}). "
            f"Install it with: pip install 'mcore-edge[{extra}]'"
        ) from error
