-- Imports that change and remove products, and remove what they did not name.
ALTER TABLE imports ADD COLUMN merged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE imports ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
-- Lines that are done, whatever became of them.
ALTER TABLE imports ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;
UPDATE imports SET settled = stored + failed;
ALTER TABLE imports ADD COLUMN missing TEXT NOT NULL DEFAULT 'keep' CHECK (missing IN ('keep', 'delete'));
ALTER TABLE imports ADD COLUMN note TEXT;
-- The filter of what it sees and changes, as JSON; none where that is all.
ALTER TABLE imports ADD COLUMN scope TEXT;
CREATE INDEX imports_open ON imports (seq) WHERE state IN ('receiving', 'running');

-- The products that an unfinished import with `missing = 'delete'` must leave: those of its lines, and those that others
-- have written since it began.
CREATE TABLE import_ids (
    import INTEGER NOT NULL REFERENCES imports (seq) ON DELETE CASCADE,
    id     TEXT NOT NULL,
    PRIMARY KEY (import, id)
) STRICT, WITHOUT ROWID;
