"""The command line: its options, what they are checked for, and what each way of calling it does."""
