//! Reads a journal while it is being written: what is committed, and nothing else.

use super::JournalError;
use super::store::stored;
use clustercore_proto::time::Instant;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::path::{Path, PathBuf};

/// A record that was acknowledged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its place.
    pub offset: u64,
    /// Its time.
    pub at: Instant,
    /// What was appended.
    pub bytes: Vec<u8>,
}

/// A channel that the journal was told of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredChannel {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// What it was made with.
    pub config: String,
    /// Numbers below it are used.
    pub next: u64,
}

/// A consumer that the journal was told of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredConsumer {
    /// Its number in its channel.
    pub number: u32,
    /// Whose it is.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// What it asked for.
    pub spec: String,
    /// What was noted for it last.
    pub position: Option<u64>,
}

/// A connection for reading. It reads the disk: not for the loop of a shard.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Reader, JournalError> {
        let open = || -> rusqlite::Result<Connection> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.pragma_update(None, "query_only", true)?;
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            Ok(connection)
        };
        let connection = open().map_err(|error| JournalError::new("read", path, &error))?;
        Ok(Reader { path: path.into(), connection })
    }

    /// Records of `channel` from `offset` on, in their order: at most `records_max`, and as many as fit `bytes_max` (one
    /// always does).
    ///
    /// Errors: the database cannot be read.
    pub fn read(
        &self,
        channel: u32,
        offset: u64,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Record>, JournalError> {
        let sql =
            "SELECT offset, at, record FROM log WHERE channel = ? AND offset >= ? ORDER BY offset LIMIT ?";
        let read = || -> rusqlite::Result<Vec<Record>> {
            let mut select = self.connection.prepare_cached(sql)?;
            let offset = offset.min(i64::MAX as u64);
            let mut rows = select.query(params![channel, offset, records_max.min(1 << 20)])?;
            let (mut records, mut bytes) = (Vec::new(), 0usize);
            while let Some(row) = rows.next()? {
                let at = Instant::from_nanos(row.get(1)?);
                let record = Record { offset: row.get(0)?, at, bytes: row.get(2)? };
                bytes = bytes.saturating_add(record.bytes.len());
                if bytes > bytes_max && !records.is_empty() {
                    break;
                }
                records.push(record);
            }
            Ok(records)
        };
        read().map_err(|error| self.error(&error))
    }

    /// The offset of the first record of `channel` that is not older than `at`; `None` when there is none.
    ///
    /// Halves the range of offsets: times do not go back.
    /// Errors: the database cannot be read.
    pub fn offset_at(&self, channel: u32, at: Instant) -> Result<Option<u64>, JournalError> {
        let search = || -> rusqlite::Result<Option<u64>> {
            let sql = "SELECT min(offset), max(offset) FROM log WHERE channel = ?";
            let bounds = |row: &rusqlite::Row<'_>| Ok(row.get::<_, Option<u64>>(0)?.zip(row.get(1)?));
            let Some((mut low, mut high)) =
                self.connection.prepare_cached(sql)?.query_row([channel], bounds)?
            else {
                return Ok(None);
            };
            let sql = "SELECT offset, at FROM log WHERE channel = ? AND offset >= ? ORDER BY offset LIMIT 1";
            let mut select = self.connection.prepare_cached(sql)?;
            let mut from = |offset: u64| -> rusqlite::Result<Option<(u64, u64)>> {
                select.query_row(params![channel, offset], |row| Ok((row.get(0)?, row.get(1)?))).optional()
            };
            let mut found = None;
            while low <= high {
                let middle = low + (high - low) / 2;
                match from(middle)? {
                    Some((offset, time)) if time < stored(at) => low = offset + 1,
                    Some((offset, _)) => {
                        found = Some(offset);
                        high = middle.saturating_sub(1);
                    }
                    None => high = middle.saturating_sub(1),
                }
                if high == 0 {
                    break;
                }
            }
            Ok(found)
        };
        search().map_err(|error| self.error(&error))
    }

    /// The first and the last offset of `channel`; `None` when it has no records.
    ///
    /// Errors: the database cannot be read.
    pub fn bounds(&self, channel: u32) -> Result<Option<(u64, u64)>, JournalError> {
        let sql = "SELECT min(offset), max(offset) FROM log WHERE channel = ?";
        let bounds = self.connection.prepare_cached(sql).and_then(|mut select| {
            select.query_row([channel], |row| Ok(row.get::<_, Option<u64>>(0)?.zip(row.get(1)?)))
        });
        bounds.map_err(|error| self.error(&error))
    }

    /// The positions of the consumers of `channel`, by name.
    ///
    /// Errors: the database cannot be read.
    pub fn positions(&self, channel: u32) -> Result<Vec<(String, u64)>, JournalError> {
        let sql = "SELECT consumer, offset FROM positions WHERE channel = ? ORDER BY consumer";
        let read = || -> rusqlite::Result<Vec<(String, u64)>> {
            let mut select = self.connection.prepare_cached(sql)?;
            let rows = select.query_map([channel], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        read().map_err(|error| self.error(&error))
    }

    /// The channels, by number.
    ///
    /// Errors: the database cannot be read.
    pub fn channels(&self) -> Result<Vec<StoredChannel>, JournalError> {
        let sql = "SELECT number, name, config, next FROM channels ORDER BY number";
        let read = || -> rusqlite::Result<Vec<StoredChannel>> {
            let mut select = self.connection.prepare_cached(sql)?;
            let rows = select.query_map([], |row| {
                let (number, name) = (row.get(0)?, row.get(1)?);
                Ok(StoredChannel { number, name, config: row.get(2)?, next: row.get(3)? })
            })?;
            rows.collect()
        };
        read().map_err(|error| self.error(&error))
    }

    /// The consumers of `channel`, by number.
    ///
    /// Errors: the database cannot be read.
    pub fn consumers(&self, channel: u32) -> Result<Vec<StoredConsumer>, JournalError> {
        let sql = "SELECT number, owner, name, spec, offset FROM consumers LEFT JOIN positions \
                   ON positions.channel = consumers.channel AND consumer = CAST(number AS TEXT) \
                   WHERE consumers.channel = ? ORDER BY number";
        let read = || -> rusqlite::Result<Vec<StoredConsumer>> {
            let mut select = self.connection.prepare_cached(sql)?;
            let rows = select.query_map([channel], |row| {
                let (number, owner, name) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(StoredConsumer { number, owner, name, spec: row.get(3)?, position: row.get(4)? })
            })?;
            rows.collect()
        };
        read().map_err(|error| self.error(&error))
    }

    fn error(&self, error: &rusqlite::Error) -> JournalError {
        JournalError::new("read", &self.path, error)
    }
}
