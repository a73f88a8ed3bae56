"""Benchmarks of the network, its graphs and its peers: measured in turns, written down with what the machine did."""
