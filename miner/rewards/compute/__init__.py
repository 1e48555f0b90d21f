"""From token ids to rewards and gradients on devices: shared prefixes, replicas, relaxation, attribution."""
