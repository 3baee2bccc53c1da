"""The `sluice` command; nothing imports it."""
