-- Which directory a row is about, wherever that lies now: a renamed one is found by its inode.

-- 0: not known, or of no use, since the file system does not keep it.
ALTER TABLE directories ADD COLUMN inode INTEGER NOT NULL DEFAULT 0;
-- A directory in whose place another one was found, and that was not met again yet, has no path. It stands under
-- the negative id of its volume, where nothing but a question by inode finds it, with a zero byte, its id and the
-- index that the volume was matched with.
CREATE INDEX directories_by_inode ON directories (inode) WHERE inode != 0;
