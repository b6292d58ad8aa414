"""What is asked for: suites and their settings, the plan that they make, and what is built by name."""
