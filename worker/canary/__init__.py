"""Tries a new Trivy on images in use."""
