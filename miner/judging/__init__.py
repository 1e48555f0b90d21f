"""What counts as a finding: the bar of a reward model, the checks for nonsense, forms, and gold."""
