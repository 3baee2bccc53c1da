"""Events into rows."""
