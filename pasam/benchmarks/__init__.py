"""Scoring models on benchmarks, and the numbers others published."""
