"""Environment to values."""
