"""What `sluice doctor` looks at, one module per thing that can be ill."""
