"""The fuzz targets: one module each; what begins with _ is shared."""
