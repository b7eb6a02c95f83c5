"""What has been found and is not mended yet: the oracle, words of its finding, and what is wrong."""

KNOWN: list[tuple[str, str, str]] = []
