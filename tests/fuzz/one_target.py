"""One target under atheris, in a process of its own: `one_target.py TARGET [libFuzzer's arguments]`."""

from __future__ import annotations

import sys

import atheris

# What is worth guiding by; the laws themselves are not.
_INSTRUMENTED = ["scanner", "yaml", "filetype", "ijson", "PIL", "structlog"]


def main() -> None:
    name = sys.argv[1]
    with atheris.instrument_imports(include=_INSTRUMENTED):
        from fuzzing import load

        target = load(name)
    # Imports inside of functions count as well, and everything lazy is loaded before the clock runs.
    for data in target.seeds().values():
        target.check(data)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
