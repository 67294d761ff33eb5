"""How well altered pictures are found, and how often unrelated ones: `make bench-quality`."""
