"""The benchmark: qmpd against the real programs, see docs/performance.md."""
