-- +goose Up
-- A short body lies in its own row: the commit that records it is the only sync it needs.
-- What may read and write the row may read and write it; nobody needs more.
ALTER TABLE deposit_body
  ADD COLUMN sealed bytea,               -- the sealed bytes; NULL when they lie in the blob store
  ALTER COLUMN sealed SET STORAGE EXTERNAL, -- sealed bytes do not compress
  ADD CHECK ((sealed IS NOT NULL) = (ref LIKE 'row:%'));
