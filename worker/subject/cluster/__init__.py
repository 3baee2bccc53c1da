"""Keys of the whole cluster."""
