"""The figures of a report, a file each; `bench/report/figure.py` is their contract."""
