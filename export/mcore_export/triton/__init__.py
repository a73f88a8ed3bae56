"""A model repository of Triton Inference Server, written from a bundle without torch.

Example:
    >>> write_triton_repository(Bundle.open("bundle"), Path("models"), TritonOptions(), overwrite=False, log=print)
"""

from __future__ import annotations

from mcore_export.triton.options import TritonOptions
from mcore_export.triton.plans import PlanBuilder, plan_builder
from mcore_export.triton.repository import write_triton_repository

__all__ = ["PlanBuilder", "TritonOptions", "plan_builder", "write_triton_repository"]
