"""Local reward models of every kind from their folders."""
