"""A real cluster on one machine, for demo, tests and benchmarks."""
