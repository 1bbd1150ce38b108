"""Our runtime beside PyTorch; `python -m training.bench_runtime --help`."""
