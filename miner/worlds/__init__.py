"""What a campaign works on: prompts by split, and the models around them."""
