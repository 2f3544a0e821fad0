-- How each picture is prepared for the network, so that it can be embedded anew in the same way.
ALTER TABLE pictures ADD COLUMN prepare TEXT NOT NULL DEFAULT 'auto' CHECK (prepare IN ('auto', 'as_is'));
