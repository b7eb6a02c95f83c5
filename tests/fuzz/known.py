"""What has been found and is not mended yet: the oracle, words of its finding, and what is wrong."""

KNOWN = [
    (
        "sparse|fit_is_documented",
        "`k` must be an int|ARPACK error|IndexError",
        "arpack for one row, one column or constant rows",
    ),
    (".*", "RuntimeWarning: (overflow|divide by zero) encountered", "numbers whose square or float32 is infinite"),
]
