"""From a network and one's own dives to a bundle that learned from them, where that made it better."""
