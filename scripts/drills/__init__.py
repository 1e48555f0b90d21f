"""Reliability drills, which the tests run small and the benchmarks in full, and records to run them on."""
