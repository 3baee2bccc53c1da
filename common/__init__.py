"""What watcher and workers share."""
