"""What was measured, on disk: written whole, read with care, and laid out as one tidy frame."""
