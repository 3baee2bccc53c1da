"""From the values of trivy-operator's chart to those of ours: the table, and what works with it."""
