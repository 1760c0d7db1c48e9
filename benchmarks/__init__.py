"""Benchmarks: the same job through TuneRL and through its peers, one table out of one run."""
