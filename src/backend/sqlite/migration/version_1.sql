-- The tables of version 1, for tests.
CREATE TABLE namespaces (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    "offset" INTEGER NOT NULL
) STRICT;
CREATE TABLE rooms (
    id        INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL REFERENCES namespaces (id),
    name      TEXT NOT NULL,
    epoch     TEXT NOT NULL,
    head      INTEGER NOT NULL,
    oldest    INTEGER NOT NULL,
    ts        INTEGER NOT NULL,
    UNIQUE (namespace, name)
) STRICT;
CREATE TABLE messages (
    room     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    ts       INTEGER NOT NULL,
    id       TEXT NOT NULL,
    event    TEXT NOT NULL,
    user     TEXT,
    name     TEXT,
    data     TEXT NOT NULL,
    PRIMARY KEY (room, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE ids (
    room INTEGER NOT NULL,
    id   TEXT NOT NULL,
    seq  INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    ts   INTEGER NOT NULL,
    PRIMARY KEY (room, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ids_by_time ON ids (ts);
CREATE TABLE marks (
    room INTEGER NOT NULL,
    user TEXT NOT NULL,
    seq  INTEGER NOT NULL,
    ts   INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;
CREATE VIEW log AS
    SELECT namespaces.name AS namespace, rooms.name AS room, messages.seq, messages."offset",
           datetime(messages.ts / 1000, 'unixepoch') AS time, messages.id, event, user, data
    FROM messages JOIN rooms ON rooms.id = messages.room JOIN namespaces ON namespaces.id = rooms.namespace;
PRAGMA user_version = 1;
