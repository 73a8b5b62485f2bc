"""What bench_merge.py measures."""
