-- Imports that clients have sent: their lines wait here until they are products, through restarts too.

CREATE TABLE imports (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT NOT NULL UNIQUE,
    state    TEXT NOT NULL CHECK (state IN ('receiving', 'running', 'done', 'failed')),
    received INTEGER NOT NULL DEFAULT 0,
    stored   INTEGER NOT NULL DEFAULT 0,
    failed   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE import_lines (
    import INTEGER NOT NULL REFERENCES imports (seq) ON DELETE CASCADE,
    line   INTEGER NOT NULL,
    data   BLOB NOT NULL,
    UNIQUE (import, line)
) STRICT;

CREATE TABLE import_errors (
    import  INTEGER NOT NULL REFERENCES imports (seq) ON DELETE CASCADE,
    line    INTEGER NOT NULL,
    product TEXT,
    detail  TEXT NOT NULL,
    UNIQUE (import, line)
) STRICT;
