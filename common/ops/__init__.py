"""Logs, metrics, probes, child processes."""
