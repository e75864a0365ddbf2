//! Files of the embedded log, made by SQL.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rusqlite::Connection;
use tempfile::TempDir;

/// The tables of the first version.
const TABLES: &str = include_str!("../../src/backend/sqlite/migration/version_1.sql");

/// How many rooms there are.
pub const ROOMS: u64 = 100;

/// A folder with a log.
pub struct LogFolder(TempDir);

impl LogFolder {
    /// A log of the first version with this many messages of `bytes` bytes in each of [`ROOMS`] rooms, stored just now.
    pub fn of_version_1(messages: u64, bytes: usize) -> Self {
        let folder = Self(TempDir::new().unwrap());
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        folder.execute(TABLES);
        folder.execute(&format!(
            "PRAGMA synchronous = OFF;
             BEGIN;
             INSERT INTO namespaces VALUES (1, '/', {ROOMS} * {messages});
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROOMS})
             INSERT INTO rooms SELECT n, 1, 'room ' || n, 'e' || n, {messages}, 1, {now} FROM numbers;
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {messages})
             INSERT INTO messages SELECT rooms.id, n, (rooms.id - 1) * {messages} + n, ts, 'id ' || n, 'message', 'alice', 'Alice',
             '\"{}\"' FROM rooms CROSS JOIN numbers;
             COMMIT;",
            "x".repeat(bytes)
        ));
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self) -> PathBuf {
        self.path().join("switchboard.db")
    }

    pub fn size(&self) -> u64 {
        fs::metadata(self.file()).unwrap().len()
    }

    pub fn execute(&self, statements: &str) {
        let db = Connection::open(self.file()).unwrap();
        db.execute_batch(statements).unwrap();
    }

    /// Deletes all but the last messages of each room, as trimming does: their space stays in the file.
    pub fn delete_all_but(&self, messages: u64) {
        self.execute(&format!(
            r#"DELETE FROM messages WHERE seq <= (SELECT head - {messages} FROM rooms WHERE id = room);
               UPDATE rooms SET oldest = head + 1 - {messages}, trimmed = "offset" - {messages};"#
        ));
    }

    /// A copy of the database in a folder of its own.
    pub fn copy(&self) -> Self {
        let copy = Self(TempDir::new().unwrap());
        fs::copy(self.file(), copy.file()).unwrap();
        copy
    }

    pub fn version(&self) -> i64 {
        let db = Connection::open(self.file()).unwrap();
        let version = db.pragma_query_value(None, "user_version", |row| row.get(0));
        version.unwrap()
    }

    /// How many messages there are.
    pub fn messages(&self) -> u64 {
        let query = "SELECT count(*) FROM messages";
        let count: i64 = self.query(query).parse().unwrap();
        count.unsigned_abs()
    }

    /// Everything in it, and whether SQLite calls it intact.
    pub fn contents(&self) -> Vec<String> {
        [
            "SELECT group_concat(integrity_check) FROM pragma_integrity_check",
            "SELECT group_concat(name || sql) FROM (SELECT name, sql FROM sqlite_schema ORDER BY name)",
            r#"SELECT group_concat(format('%s %s %d %d %d %d', name, epoch, head, oldest, "offset", trimmed)) FROM rooms"#,
            r#"SELECT group_concat(format('%d %d %d %s %d', room, seq, "offset", id, length(data))) FROM messages"#,
            "SELECT epoch FROM life",
        ]
        .map(|query| self.query(query))
        .into()
    }

    fn query(&self, query: &str) -> String {
        let db = Connection::open(self.file()).unwrap();
        let text = format!("SELECT CAST(({query}) AS TEXT)");
        db.query_row(&text, [], |row| row.get(0)).unwrap()
    }

    /// The names of the files beside the database.
    pub fn others(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "switchboard.db")
            .collect();
        names.sort();
        names
    }
}
