"""Training of reward models and of the small language models of docs world."""
