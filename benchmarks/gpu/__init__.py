"""The whole truth about a card from one command: ``python -m benchmarks.gpu --minutes 8``.

Acceptance (the same results as on a processor), then speed and memory against the textbook baseline in the same run, then
recurrent layers alone. Without network, from a bare checkout; what a missing package prevents is skipped with a note. Each
group of parts runs in a process of its own with a share of the time, and each result is kept as soon as it is there.
"""
