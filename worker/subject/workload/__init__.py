"""Workload keys."""
