"""The process that unpacks images: no cluster token, no Redis, jobs over a local socket."""
