"""Kubernetes' protobuf, read by partial schemas of our own: the one place that knows the format."""
