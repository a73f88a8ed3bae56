"""Turn a checkpoint into a bundle: ONNX graphs that are proven to score as the checkpoint does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcore_export.exporter import ExportOptions, export_checkpoint

__all__ = ["ExportOptions", "export_checkpoint"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mcore_export import exporter

        return getattr(exporter, name)
    raise AttributeError(f"module 'mcore_export' has no attribute {name!r}")
