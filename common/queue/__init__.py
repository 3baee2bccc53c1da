"""The workqueue on rq keys."""
