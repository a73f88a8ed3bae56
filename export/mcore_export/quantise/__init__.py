"""Graphs in eight bits."""
