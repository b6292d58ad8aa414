"""The methods under comparison, one file each; dropping a file here registers what it declares."""
