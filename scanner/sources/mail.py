"""Private mail and chat stores, told by what lies in a directory.

They are left out of a walk unless the operator names a ground: in the EU other law holds for private
communication than for web space. What is left out is counted as `mail_store` and shown in every report.

A customer can dress a folder up as a mail store to keep it from being looked at. So a name alone is
never enough, and as little as possible is left out: the directories that hold messages, not the home
around them.

| told by | left out |
|---|---|
| subdirectories cur, new and tmp (Maildir, maildir++ folders) | these three |
| a file dovecot-uidlist, dovecot.index*, dovecot.map.index* | the directory's own files |
| named mdbox or sdbox, with a subdirectory mailboxes | its own files, mailboxes, storage |
| named mail or Mail, with a subdirectory .imap (mbox folders) | its own files, .imap |
| var/mail, var/spool/mail right below the volume's root | all of it |
| subdirectories local_content and remote_content (Matrix Synapse) | these, and their thumbnails |
| named by a date (8 digits), with a subdirectory teams (Mattermost) | teams |

Sources: cr.yp.to/proto/maildir.html; doc.dovecot.org, "Mailbox formats"; Filesystem Hierarchy Standard
3.0, 5.11; Synapse's media repository; Mattermost's local file storage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_MAILDIR = frozenset({"cur", "new", "tmp"})
_DBOX = frozenset({"mailboxes", "storage"})
_MBOX = frozenset({".imap"})
_SYNAPSE = frozenset({"local_content", "remote_content"})
_SYNAPSE_ALL = _SYNAPSE | {"local_thumbnails", "remote_thumbnail"}
_MATTERMOST = frozenset({"teams"})
_DOVECOT = "dovecot"
_TELLING = _MAILDIR | _DBOX | _MBOX | _SYNAPSE | _MATTERMOST
_DOVECOT_FILE = re.compile(rb"(?:^|\0)dovecot(?:-uidlist|\.(?:map\.)?index(?:\.[a-z0-9.]+)?)(?:\0|\Z)")
_SPOOLS = frozenset({b"var/mail", b"var/spool/mail"})
_DATE = re.compile(rb"(?:.*/)?[0-9]{8}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PrivateStore:
    """What of a directory is left out.

    Attributes:
        files: its own files.
        directories: names of subdirectories, with all below them.
    """

    files: bool
    directories: frozenset[str]


def is_spool(path: bytes) -> bool:
    """Whether a path below the root of a volume is a mail spool (mbox files named by their users)."""
    return path in _SPOOLS


def signs(directories: Iterable[str], names: bytes) -> frozenset[str]:
    """What tells of a private store; signs of the parts of a directory may be united.

    Args:
        directories: names of subdirectories.
        names: names of files, each ended by a zero byte or the end.
    """
    found = _TELLING.intersection(directories)
    # The search for a plain string comes first: it costs nothing, and nearly every directory ends here.
    if b"dovecot" in names and _DOVECOT_FILE.search(names):
        return found | {_DOVECOT}
    return found


def private_store(path: bytes, found: frozenset[str]) -> PrivateStore | None:
    """What is left out of the directory at `path`, given its signs."""
    files, directories = _DOVECOT in found, frozenset[str]()
    name = path[path.rfind(b"/") + 1 :]
    if found >= _MAILDIR:
        directories |= _MAILDIR
    if name in (b"mdbox", b"sdbox") and "mailboxes" in found:
        files, directories = True, directories | _DBOX
    if name in (b"mail", b"Mail") and found >= _MBOX:
        files, directories = True, directories | _MBOX
    if found >= _SYNAPSE:
        directories |= _SYNAPSE_ALL
    if found >= _MATTERMOST and _DATE.fullmatch(path):
        directories |= _MATTERMOST
    return PrivateStore(files, directories) if files or directories else None
