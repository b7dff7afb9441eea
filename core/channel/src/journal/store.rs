//! The database: an append-only log whose key is the offset, an index by channel, channels, consumers and their positions.

use super::queue::{Batch, Command, What};
use super::{Change, JournalOptions, Retention};
use clustercore_proto::time::{Duration, Instant};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::HashMap;
use std::path::Path;

#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    /// The offset of the next record.
    next: u64,
    /// The time of the last record.
    last: Instant,
    channels: HashMap<u32, Channel>,
}

/// What is kept of a channel.
#[derive(Clone, Copy, Default, Debug)]
struct Channel {
    records: u64,
    bytes: u64,
    retention: Option<Retention>,
    /// Records below it are not needed; some may still be there.
    needed_from: u64,
}

impl Store {
    pub(super) fn open(path: &Path, options: &JournalOptions) -> rusqlite::Result<Store> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "wal_autocheckpoint", options.wal_pages_max)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.execute_batch(SCHEMA)?;
        let found: u64 = connection.query_row("SELECT value FROM meta WHERE name = 'version'", [], whole)?;
        if found != VERSION {
            return Err(rusqlite::Error::ToSqlConversionFailure(
                format!("it is of version {found}, this program reads {VERSION}").into(),
            ));
        }
        let next = connection.query_row("SELECT value FROM meta WHERE name = 'next'", [], whole)?;
        let last = connection.query_row("SELECT value FROM meta WHERE name = 'last'", [], whole)?;
        let channels = {
            let mut totals = connection
                .prepare("SELECT channel, count(*), sum(length(record)) FROM log GROUP BY channel")?;
            let rows = totals.query_map([], |row| {
                let channel = Channel { records: row.get(1)?, bytes: row.get(2)?, ..Channel::default() };
                Ok((row.get(0)?, channel))
            })?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        Ok(Store { connection, next, last: Instant::from_nanos(last), channels })
    }

    /// Writes all of `batch` in one transaction; the offset of its first record.
    ///
    /// Errors: nothing of it is acknowledged, and this store must not be used any more.
    pub(super) fn commit(&mut self, batch: &Batch, options: &JournalOptions) -> rusqlite::Result<u64> {
        let first = self.next;
        let transaction = self.connection.transaction()?;
        // Before the appends: a command that waits was given after those of earlier batches only.
        for command in &batch.commands {
            match command {
                Command::RemovePosition(channel, consumer) => {
                    let sql = "DELETE FROM positions WHERE channel = ? AND consumer = ?";
                    transaction.prepare_cached(sql)?.execute(params![channel, consumer])?;
                }
                Command::Retention(channel, retention) => {
                    self.channels.entry(*channel).or_default().retention = Some(*retention);
                }
                Command::Trim(now) => self.last = self.last.max(*now),
                Command::Forget(channel, offset) => {
                    let channel = self.channels.entry(*channel).or_default();
                    channel.needed_from = channel.needed_from.max(*offset);
                }
                Command::Next(channel, next) => {
                    let sql = "UPDATE channels SET next = max(next, ?2) WHERE number = ?1";
                    transaction.prepare_cached(sql)?.execute(params![channel, next.min(&OFFSET_MAX)])?;
                }
            }
        }
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO log (offset, channel, at, record) VALUES (?, ?, ?, ?)")?;
            for append in &batch.appends {
                match &append.what {
                    What::Record { at, bytes } => {
                        self.last = self.last.max(*at);
                        let at = stored(self.last);
                        insert.execute(params![self.next, append.channel, at, &bytes[..]])?;
                        let channel = self.channels.entry(append.channel).or_default();
                        channel.records += 1;
                        channel.bytes += bytes.len() as u64;
                    }
                    What::Change(change) => {
                        apply(&transaction, append.channel, change)?;
                        if *change == Change::RemoveChannel {
                            self.channels.remove(&append.channel);
                        }
                    }
                }
                self.next += 1;
            }
            let sql = "INSERT INTO positions (channel, consumer, offset) VALUES (?1, ?2, ?3) \
                       ON CONFLICT DO UPDATE SET offset = ?3";
            let mut insert = transaction.prepare_cached(sql)?;
            for ((channel, consumer), offset) in &batch.positions {
                insert.execute(params![channel, consumer, offset.min(&OFFSET_MAX)])?;
            }
            let mut update = transaction.prepare_cached("UPDATE meta SET value = ? WHERE name = ?")?;
            update.execute(params![self.next, "next"])?;
            update.execute(params![stored(self.last), "last"])?;
        }
        let mut left = options.trim_records_max;
        for (number, channel) in &mut self.channels {
            let retention = channel.retention.unwrap_or(options.retention);
            trim(&transaction, *number, channel, &retention, self.last, &mut left)?;
        }
        transaction.commit()?;
        Ok(first)
    }
}

/// Writes what is to be known of a channel.
fn apply(transaction: &Transaction<'_>, channel: u32, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Channel { name, config } => {
            let sql = "INSERT INTO channels (number, name, config) VALUES (?1, ?2, ?3) \
                       ON CONFLICT DO UPDATE SET name = ?2, config = ?3";
            transaction.execute(sql, params![channel, name, config])?;
        }
        Change::RemoveChannel => {
            for sql in [
                "DELETE FROM log WHERE channel = ?",
                "DELETE FROM positions WHERE channel = ?",
                "DELETE FROM consumers WHERE channel = ?",
                "DELETE FROM channels WHERE number = ?",
            ] {
                transaction.execute(sql, [channel])?;
            }
        }
        Change::Consumer { number, owner, name, spec } => {
            let sql = "INSERT OR REPLACE INTO consumers (channel, number, owner, name, spec) VALUES (?, ?, ?, ?, ?)";
            transaction.execute(sql, params![channel, number, owner, name, spec])?;
        }
        Change::RemoveConsumer { number } => {
            let sql = "DELETE FROM positions WHERE channel = ? AND consumer = CAST(? AS TEXT)";
            transaction.execute(sql, [channel, *number])?;
            transaction
                .execute("DELETE FROM consumers WHERE channel = ? AND number = ?", [channel, *number])?;
        }
    }
    Ok(())
}

/// Removes the oldest records of a channel, as long as it has too much and `left` allows.
fn trim(
    transaction: &Transaction<'_>,
    number: u32,
    channel: &mut Channel,
    retention: &Retention,
    now: Instant,
    left: &mut usize,
) -> rusqlite::Result<()> {
    let oldest_ns = match retention.age_max {
        Duration::ZERO => 0,
        age => now.as_nanos().saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)),
    };
    let is_over = |value: u64, max: u64| max > 0 && value > max;
    let has_too_much = is_over(channel.records, retention.records_max)
        || is_over(channel.bytes, retention.bytes_max)
        || (oldest_ns > 0 && channel.records > 0)
        || channel.needed_from > 0;
    if !has_too_much {
        return Ok(());
    }
    let sql = "SELECT offset, at, length(record) FROM log WHERE channel = ? ORDER BY offset LIMIT 1";
    let mut oldest = transaction.prepare_cached(sql)?;
    let mut delete = transaction.prepare_cached("DELETE FROM log WHERE offset = ?")?;
    while *left > 0 {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?, row.get(2)?));
        let found: Option<(u64, u64, u64)> = oldest.query_row([number], row).optional()?;
        let Some((offset, at, bytes)) = found else {
            channel.needed_from = 0;
            break;
        };
        let goes = is_over(channel.records, retention.records_max)
            || is_over(channel.bytes, retention.bytes_max)
            || at < oldest_ns
            || offset < channel.needed_from;
        if !goes {
            channel.needed_from = 0;
            break;
        }
        delete.execute([offset])?;
        channel.records = channel.records.saturating_sub(1);
        channel.bytes = channel.bytes.saturating_sub(bytes);
        *left -= 1;
    }
    Ok(())
}

/// Nanoseconds as the database has them: 63 bits last until 2262.
pub(super) fn stored(at: Instant) -> u64 {
    at.as_nanos().min(OFFSET_MAX)
}

fn whole(row: &rusqlite::Row<'_>) -> rusqlite::Result<u64> {
    row.get(0)
}

/// The highest that the database has room for.
const OFFSET_MAX: u64 = i64::MAX as u64;
const VERSION: u64 = 1;

const SCHEMA: &str = "
BEGIN;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('version', 1), ('next', 1), ('last', 0);
CREATE TABLE IF NOT EXISTS log (
    offset INTEGER PRIMARY KEY, channel INTEGER NOT NULL, at INTEGER NOT NULL, record BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS log_by_channel ON log (channel, offset);
CREATE TABLE IF NOT EXISTS positions (
    channel INTEGER NOT NULL, consumer TEXT NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (channel, consumer)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS channels (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, config TEXT NOT NULL, next INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS consumers (
    channel INTEGER NOT NULL, number INTEGER NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, spec TEXT NOT NULL,
    PRIMARY KEY (channel, number)) WITHOUT ROWID;
COMMIT;";
