"""Ways of drawing samples, one file each; dropping a file here registers what it declares."""
