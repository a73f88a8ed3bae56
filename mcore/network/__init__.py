"""The MCoRe network and its checkpoints."""
