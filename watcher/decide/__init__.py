"""Rows into keys."""
