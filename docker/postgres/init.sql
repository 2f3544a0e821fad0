-- Run once, by the superuser, when the database server has no data yet: `vector` is no extension that a database's owner may
-- create. The owner has no other rights.
\set password `cat /run/secrets/database`
CREATE ROLE spikelens LOGIN PASSWORD :'password';
CREATE DATABASE spikelens OWNER spikelens;
REVOKE ALL ON DATABASE spikelens FROM PUBLIC;
\connect spikelens
CREATE EXTENSION vector;
