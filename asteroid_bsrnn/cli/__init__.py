"""The console command ``asteroid-bsrnn``: argument parsing only."""
