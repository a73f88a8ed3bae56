"""Interfaces to other programs: Prometheus, systemd, webhooks."""
