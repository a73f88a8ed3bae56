"""From a recorded session to labelled dives: clips, what is proposed for them, labels on the disk, and a page."""
