"""Code that all pages share: the options of the command line, tables, and the printing and saving of pages."""

import argparse
import statistics

from benchmarks._processes import CORES, ROOT


def option_parser(name, description, threads=True):
    """Return a parser with the options that all pages have; ``threads`` where their number can be chosen."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=description)
    parser.add_argument("--save", action="store_true", help=f"write docs/benchmarks/{name}.md")
    parser.add_argument("--rounds", type=positive, default=5)
    if threads:
        parser.add_argument("--threads", type=positive, default=CORES, help="default: all cores")
    return parser


def refuse_part(options, **whole):
    """Raise SystemExit if a part of a page is to be saved: it would replace the ``whole`` page."""
    given = [f"--{name}" for name, value in whole.items() if getattr(options, name) != value]
    if options.save and given:
        raise SystemExit(f"--save writes whole pages: leave out {', '.join(given)}")


def positive(text):
    """Return a positive integer, parsed from the text of an option."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more; got {number}")
    return number


def command(name, arguments):
    """Return the shell command that makes a page."""
    return " ".join(["python -m benchmarks", name, *arguments])


def publish(name, page, save):
    """Print a page, and write it to `docs/benchmarks` if ``save`` is True."""
    print(page)
    if save:
        path = ROOT / "docs" / "benchmarks" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page)


def medians(rounds):
    """Return the median of every figure over the rounds."""
    return {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}


def ratio(value, base):
    """Return a ratio as text, or a dash if one of its numbers is missing."""
    return "-" if value is None or base is None else f"{value / base:.2f}"


def markdown_table(header, rows):
    """Return an aligned Markdown table, first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_table_line(cells, widths) for cells in [header, rule, *rows])


def _table_line(cells, widths):
    """Return one line of a Markdown table."""
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(padded)} |"
