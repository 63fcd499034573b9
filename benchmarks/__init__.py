"""Measures mounts of isofs beside other programs that do the same work.

    python -m benchmarks [--only WORDS] [--rounds N] [--json FILE] [--picture FILE.svg]

Run it in the repository's folder. `__main__` tells the options.

| module | |
| --- | --- |
| `data` | the trees and the images that are mounted, built once |
| `mounts` | fresh mounts that never stay behind |
| `measures` | what is done on a mount, and how long it took |
| `core` | one core in C over the same blocks |
| `plan` | the table of rows, and the contenders of each |
| `rounds` | runs the contenders of a row in rounds |
| `figures` | medians, spreads, ratios |
| `results` | what was measured, to JSON and back |
| `machine` | what it was measured on |
| `report` | the table for people |
| `picture` | the chart |
"""
