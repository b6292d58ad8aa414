"""Whether a record is what would be measured today: the source, settings and inputs behind it."""
