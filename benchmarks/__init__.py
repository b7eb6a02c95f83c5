"""Benchmarks of speed and memory, compared with scikit-learn and PyTorch; each library runs in its own process."""
