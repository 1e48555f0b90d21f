"""Model folders, whatever the model is for: found, identified, fitted into memory and loaded."""
