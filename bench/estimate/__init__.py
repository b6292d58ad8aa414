"""What runs will cost before they are run: parts of each cell's work are timed, and multiplied out."""
