"""PDQ of pictures the plain way: decode every pixel, then hash. `full_decode.py pdqhash|own FILE...`

"pdqhash" is the library of that name (the reference's code); "own" is hostsweep's operator on the same
full decode, for machines on which the library can't be built. No FILE: only start.
"""

from __future__ import annotations

import sys


def main() -> None:
    import numpy as np
    from PIL import Image

    library, *paths = sys.argv[1:]
    if library == "pdqhash":
        import pdqhash

        for path in paths:
            pdqhash.compute(np.asarray(Image.open(path).convert("RGB")))
        return
    from scanner.hashing.pdq import PdqHasher

    hasher = PdqHasher()
    for path in paths:
        picture = Image.open(path)
        picture.load()
        hasher.hashes(picture)


if __name__ == "__main__":
    main()
