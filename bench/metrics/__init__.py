"""What is measured, the same way for every baseline: each function sees a velocity field or samples, never a method."""
