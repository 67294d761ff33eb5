"""`python -m demo [--keep]`: the whole way on sample pictures, in a temporary directory."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from demo.server import ListServer
from demo.stage import DemoFailed, Stage
from demo.story import Story


def main() -> int:
    """Tell the story; 0 if everything in it happened as it has to, else 1."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the directory, and say where it is")
    keep = parser.parse_args().keep
    directory = Path(tempfile.mkdtemp(prefix="hostsweep-demo-"))
    stage = Stage(directory)
    try:
        with ListServer() as server:
            return 0 if Story(directory, server, stage).tell() else 1
    except DemoFailed as e:
        stage.tell_claims(wrong_only=True)
        stage.fail(f"{e}.")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if keep:
            stage.say(f"Kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
