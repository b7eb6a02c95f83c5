"""Benchmarks: speed and memory beside scikit-learn and PyTorch, each in a process of its own."""
