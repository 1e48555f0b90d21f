"""Retraining a reward model on what fooled it."""
