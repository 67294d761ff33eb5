"""Thin, typed wrappers of Linux calls. Imports nothing of ours but itself."""
