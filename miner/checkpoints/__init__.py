"""Model folders: found, identified, fitted into memory and loaded, whatever the model is for."""
