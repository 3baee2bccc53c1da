"""Reflectors and informers."""
