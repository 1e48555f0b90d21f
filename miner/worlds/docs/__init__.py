"""Docs world, the one built in: the docstrings of the standard library, and models trained on them."""
