"""Package databases of real size, and a vulnerability database that knows their packages.

Names, versions, architectures, sources and dependencies are those of Debian 12 and Alpine 3.18; the
advisories about them are made up, in every shape that such a database has.
"""
