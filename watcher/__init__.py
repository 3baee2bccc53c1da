"""Streams the cluster, filters, and enqueues keys."""
