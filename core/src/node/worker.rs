//! A shard's thread.

use super::command::{Command, Message, Signals};
use super::{Outlet, level_of};
use crate::log::{LogLevel, LogRecord};
use crate::shard::Shard;
use clustercore_queue::bell::Bell;
use clustercore_queue::{mpsc, spsc};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The thread's end. However it ends, also by a panic, `drop` tells those who wait for it; the fields go in their order.
pub(super) struct Worker {
    pub inbox: mpsc::Receiver<Command>,
    pub signals: Arc<Signals>,
    pub shard: Shard,
    pub bell: Arc<Bell>,
    pub outbox: spsc::Producer<Message>,
    /// Messages that found the ring full: kept, and told again later.
    pub kept: VecDeque<Message>,
    /// Last: pollers are woken when all else is gone.
    pub outlet: LastRing,
}

/// Rings the outlet when it goes.
pub(super) struct LastRing(pub Arc<Outlet>);

impl Drop for LastRing {
    fn drop(&mut self) {
        self.0.ring();
    }
}

impl Worker {
    /// Turns until told to stop.
    pub fn run(mut self) {
        loop {
            let mut commands = Vec::new();
            self.inbox.drain(&mut |command| commands.push(command), COMMANDS_MAX);
            // After the commands were taken: who changed a list and then sent one finds the change seen to.
            if self.signals.take_list_changed() {
                self.shard.list_changed();
            }
            for command in commands {
                command(&mut self.shard);
            }
            if self.signals.is_stopping() {
                return;
            }
            // What the commands brought about is told before the sleep.
            self.publish();
            let doze = self.bell.prepare_sleep();
            let timeout = if !self.inbox.is_empty() || !self.signals.is_quiet() {
                Some(Duration::ZERO)
            } else if self.kept.is_empty() {
                None
            } else {
                Some(KEPT_RETRY)
            };
            let turned = self.shard.turn_for(timeout);
            drop(doze);
            self.shard.take_woken();
            self.publish();
            if let Err(error) = turned {
                return self.keep_error(format!("the shard ends: {error}"));
            }
        }
    }

    fn publish(&mut self) {
        let mut published = false;
        let shard = &mut self.shard;
        for (id, event) in shard.events() {
            let text = format!("forwarder {id}: {event}");
            self.kept.push_back(Message::Log(LogRecord { level: level_of(&event), text }));
            self.kept.push_back(Message::Event(id, event));
        }
        for record in shard.take_logs() {
            self.kept.push_back(Message::Log(record));
        }
        while let Some(message) = self.kept.pop_front() {
            match self.outbox.push(message) {
                Ok(()) => published = true,
                Err(spsc::Full(message)) => {
                    self.kept.push_front(message);
                    break;
                }
            }
        }
        while self.kept.len() > KEPT_MAX {
            // Nobody polls: the oldest go.
            self.kept.pop_front();
        }
        if published {
            self.outlet.0.ring();
        }
    }

    fn keep_error(&mut self, text: String) {
        self.kept.push_back(Message::Log(LogRecord { level: LogLevel::Error, text }));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep_error("the shard ends: its thread has panicked".to_owned());
        }
        // Drains that wait for this shard end with it.
        self.shard.end_services();
        self.publish();
        // Those who asked and get no answer find out: the command that answers them goes.
        self.inbox.close();
        while let Ok(command) = self.inbox.recv() {
            drop(command);
        }
    }
}

const COMMANDS_MAX: usize = 64;
const KEPT_MAX: usize = 4096;
const KEPT_RETRY: Duration = Duration::from_millis(10);
