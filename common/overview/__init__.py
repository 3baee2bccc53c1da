"""What people ask of a running cluster: coverage, queue, failures, database, what happened last."""
