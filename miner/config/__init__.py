"""The campaign file and its tables, and the settings of published reward models."""
