-- One exact kind more, computed only where hashing.exact names it. Rows from before have none: naming it changes
-- the profile, so the next scan reads those files again.
ALTER TABLE files ADD COLUMN sha512 BLOB;
