"""A published tree: a list as files that any web server can hand out, with what changed since the last time.

In the manner of RRDP (RFC 8182): a notification names a session, a serial number, the snapshot and the deltas
with their digests; whoever has the serial before takes the deltas, whoever has not takes the snapshot. Files
never change their content. `docs/publishing.md` says it all, for those who want to write or read such a tree.
"""
