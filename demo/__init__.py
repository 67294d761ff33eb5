"""The whole way of hostsweep on sample pictures: `python -m demo`, or `make demo`."""
