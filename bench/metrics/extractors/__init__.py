"""Feature extractors that image metrics are made of."""
