"""A campaign: its folder and its rounds, the stages that fill them, and what they gave."""
