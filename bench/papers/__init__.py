"""Published work to compare with, one folder a paper."""
