"""Which samples a sweep keeps beside its record, and their name there: evaluation keeps them, reports draw them."""

FEWEST = 4  # evaluations up to which samples of every sampler are kept
OF_MIDPOINT = (8, 10, 20, 40, 60, 100)  # further ones of the midpoint rule


def is_kept(sampler: str, nfe: float) -> bool:
    """Whether a sweep keeps samples of a sampler, by its label, at so many evaluations."""
    return nfe <= FEWEST or (sampler == "midpoint" and nfe in OF_MIDPOINT)


def name_of(sampler: str, nfe: float) -> str:
    """The array of those samples."""
    return f"samples_{sampler}_{nfe:g}"
