"""hostsweep: keeps a hosting provider's own storage free of known child sexual abuse material.

The package falls into four parts. `sources`, `hashing`, `index`, `response` and `ledger` are the
way a file goes; `feeds` brings the lists and `catalog` remembers what was seen; `pipeline` joins
the rooms, `app` builds them; `cli`, `http` and `daemon` are the doors. Everything shared stands in
`model` (records, ports, errors) and `system` (Linux calls).
"""

__version__ = "0.1.0"
