"""Meet software beside the camera: who dives what, and what the judges gave, as DiveRecorder says it on the network."""
