-- Products, their pictures and what the network made of each picture.

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE products (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    title      TEXT NOT NULL,
    attributes TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;

CREATE TABLE pictures (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    product      INTEGER NOT NULL REFERENCES products (seq) ON DELETE CASCADE,
    id           TEXT NOT NULL,
    content_type TEXT NOT NULL,
    width        INTEGER NOT NULL,
    height       INTEGER NOT NULL,
    bytes        BLOB NOT NULL,
    UNIQUE (product, id)
) STRICT;

-- Whole numbers, little-endian, in the narrowest of 1, 2 or 4 bytes a value that holds them all: `width`.
CREATE TABLE embeddings (
    picture INTEGER PRIMARY KEY REFERENCES pictures (seq) ON DELETE CASCADE,
    width   INTEGER NOT NULL CHECK (width IN (1, 2, 4)),
    data    BLOB NOT NULL
) STRICT;
