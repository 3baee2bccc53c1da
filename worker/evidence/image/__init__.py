"""Inventory and match by Trivy."""
