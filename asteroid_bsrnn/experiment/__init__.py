"""What lies in ``exp/<tag>/``: run, history, evaluation, energy, each a dataclass; read and written here and nowhere else."""
