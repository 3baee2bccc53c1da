"""The status page: read-only, without scripts, drawn from looks at the tables."""
