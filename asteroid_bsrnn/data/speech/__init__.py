"""Speech mixtures: plans of the official generators, mixing on the fly, dynamic mixing."""
