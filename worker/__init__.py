"""Takes keys and makes their reports true."""
