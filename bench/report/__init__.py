"""Reports: everything that is written about records is a pure function of their tidy frame and the arrays beside them.

    records.csv            the frame, one row a measurement
    table.{md,tex,csv}     the headline table
    paper.{md,tex,csv}     the tables of papers, published beside measured, and related published numbers
    claims.{md,tex,csv}    the verdict on every claim
    plots/*.{png,pdf}      the figures
    report.html            all of it on one self-contained page

Nothing here imports a trainer, a network or a baseline.
"""

import pandas

from bench.records.frame import STORAGE

pandas.set_option(*STORAGE)
