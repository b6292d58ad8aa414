"""The datasets: 2-D sets with exact densities where they exist, digits, and real images."""
