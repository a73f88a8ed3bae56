"""Video files and image folders to network input; torch-free."""

from mcore.video.clip import Reader, SampledClip
from mcore.video.preprocess import crop, denormalise, normalise, resize_frame
from mcore.video.reader import look_through, read_clip, read_source_frames, sample_clip
from mcore.video.sampling import sample_indices, sample_indices_by_time, sampled_transitions

__all__ = [
    "Reader",
    "SampledClip",
    "crop",
    "denormalise",
    "look_through",
    "normalise",
    "read_clip",
    "read_source_frames",
    "resize_frame",
    "sample_clip",
    "sample_indices",
    "sample_indices_by_time",
    "sampled_transitions",
]
