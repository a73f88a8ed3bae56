"""Devices, processes and memory that torch computes with."""
