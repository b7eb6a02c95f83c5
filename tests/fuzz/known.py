"""What has been found and is not mended yet: the oracle, words of its finding, and what is wrong."""

KNOWN = [
    ("containers", "a frame of polars has type float64", "float32 frames of polars become float64"),
    (
        "sparse",
        "entries that are sums|covariance of X exceeds",
        "two entries of a sparse X at one place are not summed",
    ),
    (
        "sparse|fit_is_documented",
        "`k` must be an int|ARPACK error|IndexError",
        "arpack for one row, one column or constant rows",
    ),
    ("refused_data", "could not convert string to float", "the error does not say which argument"),
    ("refused_data", "Complex data not supported", "the error shows the whole array"),
    (".*", "RuntimeWarning: overflow encountered in (square|cast)", "numbers whose square or float32 is infinite"),
    ("fit_is_documented", "NotImplementedError: $", "FullBatch is taken as a solver"),
]
