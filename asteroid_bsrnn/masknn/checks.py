"""Checks of constructor arguments: one clear sentence, naming the argument and what is allowed."""


def check_at_least(minimum, **values):
    """Refuse values that are no integers or lie below ``minimum``.

    Raises:
        TypeError: for a value that is no integer.
        ValueError: for one below ``minimum``.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {value}")


def check_one_of(allowed, **values):
    """Refuse values that are not among ``allowed`` (ValueError)."""
    for name, value in values.items():
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def check_divides(divisor_name, divisor, name, value):
    """Refuse a ``divisor`` that does not divide ``value`` (ValueError)."""
    if divisor < 1 or value % divisor:
        raise ValueError(f"{divisor_name} ({divisor}) must divide {name} ({value})")


def check_fraction(**values):
    """Refuse values outside [0, 1) (ValueError): dropout probabilities."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value!r}")
