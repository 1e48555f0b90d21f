"""A package of somebody else: it adds an attack, a check, a kind of RM, a kind of policy and a report section."""
