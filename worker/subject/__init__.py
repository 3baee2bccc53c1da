"""One gather and one plan per kind of key."""
