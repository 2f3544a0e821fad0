-- What a flipped bit is found by: SHA-256 of a product's own fields, of a picture's bytes, of an embedding's data.
-- Rows that are there already get theirs in the same transaction.
ALTER TABLE products ADD COLUMN sum BLOB;
ALTER TABLE pictures ADD COLUMN sum BLOB;
ALTER TABLE embeddings ADD COLUMN sum BLOB;
