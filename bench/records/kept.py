"""Which samples a sweep keeps beside its record, and their name there: evaluation keeps them, reports draw them."""

OF_EVERY = (1, 2, 3, 4, 8, 16, 32)  # evaluations at which samples of every sampler are kept
OF_MIDPOINT = (10, 20, 40, 60, 100)  # further ones of the midpoint rule


def is_kept(sampler: str, nfe: float) -> bool:
    """Whether a sweep keeps samples of a sampler, by its label, at so many evaluations."""
    return nfe in OF_EVERY or (sampler == "midpoint" and nfe in OF_MIDPOINT)


def name_of(sampler: str, nfe: float) -> str:
    """The array of those samples."""
    return f"samples_{sampler}_{nfe:g}"


def nfe_of(sampler: str, array: str) -> int | None:
    """The evaluations of the samples in an array, None if they are not of that sampler."""
    found = array.removeprefix(name_of(sampler, 0)[:-1])
    return int(found) if found.isdecimal() and array == name_of(sampler, int(found)) else None
