"""What is learned about the cluster itself."""
