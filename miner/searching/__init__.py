"""The search: many attempts at once, their queries, what they found, and where budget goes next."""
