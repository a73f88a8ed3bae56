"""Detection of dives in a continuous stream."""

from mcore_runtime.detector.ballistic import BallisticDetector
from mcore_runtime.detector.base import (
    AFTER_ENTRY_S,
    BEFORE_TAKEOFF_S,
    FINDERS,
    MIN_AFTER_S,
    MIN_BEFORE_S,
    DetectedDive,
    Detector,
    stay,
)
from mcore_runtime.detector.config import DetectorConfig
from mcore_runtime.detector.joint import JointDetector
from mcore_runtime.detector.spotter import SpotterDetector

__all__ = [
    "AFTER_ENTRY_S",
    "BEFORE_TAKEOFF_S",
    "FINDERS",
    "MIN_AFTER_S",
    "MIN_BEFORE_S",
    "BallisticDetector",
    "DetectedDive",
    "Detector",
    "DetectorConfig",
    "JointDetector",
    "SpotterDetector",
    "stay",
]
