"""Evidence into report bodies; pure."""
