"""Scores of clips: encoding, comparison with exemplars, results."""
