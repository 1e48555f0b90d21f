"""Architectures, by transformers' name, of which a test of ours compares every way to ask with plain transformers."""

COVERED: frozenset[str] = frozenset(("llama",))
