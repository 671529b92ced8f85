"""What lies in ``exp/<tag>/``: run, evaluation, energy; read and written here."""
