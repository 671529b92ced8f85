"""Benchmarks: what the package gains over a textbook implementation, measured side by side in the same run.

``python -m benchmarks`` measures everything, keeps the numbers of this machine in ``benchmarks/machines/`` and writes
``benchmarks/RESULTS.md`` from the numbers of all machines.
"""
