"""Image keys."""
