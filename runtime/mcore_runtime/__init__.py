"""MCoRe at the edge: reads an exported bundle and scores dives with it; never imports torch."""
