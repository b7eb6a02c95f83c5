"""What has been found and is not mended yet: the oracle, words of its finding, and what is wrong."""

KNOWN = [
    (
        "sparse|fit_is_documented",
        "`k` must be an int|ARPACK error|IndexError",
        "arpack for one row, one column or constant rows",
    ),
    ("refused_data", "could not convert string to float", "the error does not say which argument"),
    ("refused_data", "Complex data not supported", "the error shows the whole array"),
    (".*", "RuntimeWarning: (overflow|divide by zero) encountered", "numbers whose square or float32 is infinite"),
]
