"""Every other Redis table."""
