"""Scoring models on benchmarks, with statistics, and the numbers others published."""
