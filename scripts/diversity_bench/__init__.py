"""Parts of bench_diversity."""
