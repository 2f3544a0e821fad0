-- How often products were changed, by whoever changes them: counts of products are kept while it stays as it is. A transaction
-- counts before it commits, and holds the lock of writes until it has ended.

CREATE SEQUENCE product_changes;

CREATE FUNCTION count_product_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(126926642177280);
    PERFORM nextval('product_changes');
    RETURN NULL;
END
$$;

CREATE TRIGGER product_changes BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON products
    FOR EACH STATEMENT EXECUTE FUNCTION count_product_change();
