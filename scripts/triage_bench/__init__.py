"""Parts of bench_triage, and of the tests of triage: findings whose causes are known."""
