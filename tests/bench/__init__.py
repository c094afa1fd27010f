"""The benchmarks: every target as a ratio of two things measured in one run."""
