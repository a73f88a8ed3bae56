"""The live runtime: from a stream of frames to the clips of dives, and their scores."""
