"""Reward models by how the reward is read: off a head, next tokens, comparisons, steps or own code."""
