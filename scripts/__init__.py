"""Programs, and the packages that hold their parts."""
