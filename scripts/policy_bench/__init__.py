"""Parts of bench_policy."""
