//! Documents ([`DocumentStore`]): a hash, a sorted set of updates and a snapshot for each, all changed by one script.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::{Cmd, Value};

use super::RedisLog;
use crate::{
    backend::{
        DocumentInfo, DocumentStore, DocumentUpdate, StoredDocument, UpdateTerms,
        documents::{TOLD_AT_ONCE, document_full},
        first_number,
        redis::{
            client::{OnDisconnect, reply},
            keys::Partition,
            scripts::{self, number},
        },
    },
    error::Result,
    model::{DOCUMENTS, RoomName, Timestamp},
};

#[async_trait]
impl DocumentStore for RedisLog {
    async fn append_update(
        &self,
        document: &RoomName,
        update: Bytes,
        terms: UpdateTerms,
    ) -> Result<u64> {
        self.check_open()?;
        let _permit = self.reserve(update.len()).await?;
        let now = (self.context.clock)().now;
        let mut append = self.document_command(document, "append");
        append
            .arg(number(first_number(now)))
            .arg(now.0)
            .arg(number(terms.max_bytes))
            .arg(u8::from(terms.is_told))
            .arg(&update[..]);
        match self.change_document(document, append).await? {
            0 => Err(document_full(document, terms.max_bytes)),
            number => Ok(number),
        }
    }

    async fn tell_changes(&self, before: Timestamp) -> Result<()> {
        self.check_open()?;
        let shards = self.context.topology.shards();
        try_join_all(shards.map(|shard| self.tell_changes_in(shard, before))).await?;
        Ok(())
    }

    async fn read_document(
        &self,
        document: &RoomName,
        after: u64,
    ) -> Result<Option<StoredDocument>> {
        self.check_open()?;
        let mut read = self.document_command(document, "read");
        read.arg(number(after));
        let found = self.execute_on_document(document, read).await?;
        let found: Option<(u64, Vec<u8>, Vec<Vec<u8>>)> = reply::parse(found)?;
        Ok(found.map(|(through, snapshot, updates)| StoredDocument {
            snapshot: (through > 0).then(|| DocumentUpdate {
                number: through,
                bytes: snapshot.into(),
            }),
            updates: updates.into_iter().filter_map(parse_update).collect(),
        }))
    }

    async fn compact_document(
        &self,
        document: &RoomName,
        through: u64,
        snapshot: Bytes,
    ) -> Result<bool> {
        self.check_open()?;
        let _permit = self.reserve(snapshot.len()).await?;
        let mut compact = self.document_command(document, "compact");
        compact.arg(number(through)).arg(&snapshot[..]);
        Ok(self.change_document(document, compact).await? > 0)
    }

    async fn delete_document(&self, document: &RoomName) -> Result<bool> {
        self.check_open()?;
        let delete = self.document_command(document, "delete");
        Ok(self.change_document(document, delete).await? > 0)
    }

    async fn find_document(&self, document: &RoomName) -> Result<Option<DocumentInfo>> {
        self.check_open()?;
        let found = self.execute_on_document(document, self.info_command(document));
        parse_info(document, found.await?)
    }

    async fn list_documents(
        &self,
        prefix: &str,
        after: Option<&RoomName>,
        limit: usize,
    ) -> Result<Vec<DocumentInfo>> {
        self.check_open()?;
        let listing = Partition::all().map(|partition| {
            let mut list = redis::cmd("ZRANGEBYLEX");
            list.arg(self.context.keys.documents(partition));
            match after.filter(|after| after.as_str() >= prefix) {
                Some(after) => list.arg(format!("({after}")),
                None => list.arg(format!("[{prefix}")),
            };
            // No name has a byte of 255.
            let end = [b"(", prefix.as_bytes(), &[255]].concat();
            list.arg(end).arg("LIMIT").arg(0).arg(number(limit as u64));
            async move { reply::parse(self.connections.of(partition).query(list).await?) }
        });
        let listed: Vec<Vec<String>> = try_join_all(listing).await?;
        let mut names: Vec<_> = listed.into_iter().flatten().collect();
        names.sort_unstable();
        names.truncate(limit);
        let finding = names.iter().map(|name| async move {
            let name = RoomName::from_log(name);
            self.find_document(&name).await
        });
        let found = try_join_all(finding).await?;
        Ok(found.into_iter().flatten().collect())
    }
}

impl RedisLog {
    fn document_command(&self, document: &RoomName, verb: &str) -> Cmd {
        let shard = self
            .context
            .topology
            .shard_of(Partition::of_document(document));
        scripts::document(&self.context.keys, shard, document, verb)
    }

    async fn tell_changes_in(&self, shard: Partition, before: Timestamp) -> Result<()> {
        let keys = &self.context.keys;
        let mut tell = scripts::tell_documents([
            &keys.untold_documents(shard),
            &keys.outbox(shard),
            &keys.shard_incarnation(shard),
        ]);
        let now = (self.context.clock)().now;
        tell.arg(before.0)
            .arg(now.0)
            .arg(TOLD_AT_ONCE)
            .arg(DOCUMENTS);
        self.context.outbox.add_args(&mut tell, shard);
        let connection = self.connections.of(shard);
        let replies = connection.execute(&[tell], OnDisconnect::Fail).await?;
        let last = reply::parse(reply::check(
            replies.into_iter().next().unwrap_or(Value::Nil),
        )?)?;
        self.context.outbox.observe(shard, last);
        Ok(())
    }

    fn info_command(&self, document: &RoomName) -> Cmd {
        let mut info = redis::cmd("HMGET");
        info.arg(self.context.keys.document(document));
        info.arg(&["last", "updates", "bytes", "changed"]);
        info
    }

    async fn change_document(&self, document: &RoomName, change: Cmd) -> Result<u64> {
        reply::parse(self.execute_on_document(document, change).await?)
    }

    /// Executes a command, again if the connection is lost meanwhile: an update that is still the last one is not stored again, and one
    /// that is stored twice changes nothing.
    async fn execute_on_document(&self, document: &RoomName, command: Cmd) -> Result<Value> {
        let connection = self.connections.of(Partition::of_document(document));
        let replies = connection.execute(&[command], OnDisconnect::Retry).await?;
        reply::check(replies.into_iter().next().unwrap_or(Value::Nil))
    }
}

/// Reads an update as the script stores it.
fn parse_update(stored: Vec<u8>) -> Option<DocumentUpdate> {
    let space = stored.iter().position(|byte| *byte == b' ')?;
    let number = std::str::from_utf8(&stored[..space]).ok()?.parse().ok()?;
    Some(DocumentUpdate {
        number,
        bytes: Bytes::from(stored).slice(space + 1..),
    })
}

fn parse_info(document: &RoomName, reply: Value) -> Result<Option<DocumentInfo>> {
    let [last, updates, bytes, changed]: [Option<u64>; 4] = reply::parse(reply)?;
    Ok(last.map(|last| DocumentInfo {
        name: document.clone(),
        last,
        updates: updates.unwrap_or(0),
        bytes: bytes.unwrap_or(0),
        changed: Timestamp(changed.unwrap_or(0)),
    }))
}
