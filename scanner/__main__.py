"""`python -m scanner`: the same as the `hostsweep` command."""

from scanner.cli.main import run

if __name__ == "__main__":
    run()
