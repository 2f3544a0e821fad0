-- Whether the next embeddings wait to be released, instead of being adopted as soon as they are complete.
ALTER TABLE catalogue ADD COLUMN hold boolean NOT NULL DEFAULT false;
