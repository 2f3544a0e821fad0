-- The files of the models that the embeddings are made by: of the present one, and of the next one while pictures are
-- embedded anew. A backup has them too, so that the present model answers wherever the catalogue is.
CREATE TABLE models (
    id   TEXT PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

-- Embeddings by the next model, probe and T (settings `next_*`), until every picture has one; then they take the place
-- of the present ones in one transaction. Columns as in `embeddings`.
CREATE TABLE next_embeddings (
    picture INTEGER PRIMARY KEY REFERENCES pictures (seq) ON DELETE CASCADE,
    width   INTEGER NOT NULL CHECK (width IN (1, 2, 4)),
    data    BLOB NOT NULL,
    sum     BLOB NOT NULL
) STRICT;
