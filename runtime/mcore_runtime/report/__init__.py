"""The report for coaches: one HTML file with pictures that needs nothing else, online or offline."""

from mcore_runtime.report.page import write_report

__all__ = ["write_report"]
