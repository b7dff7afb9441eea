//! A shard's thread.

use super::command::{Command, Message};
use super::{Outlet, level_of};
use crate::log::{LogLevel, LogRecord};
use crate::shard::Shard;
use clustercore_queue::bell::Bell;
use clustercore_queue::{mpsc, spsc};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Worker {
    pub shard: Shard,
    pub inbox: mpsc::Receiver<Command>,
    pub bell: Arc<Bell>,
    pub outbox: spsc::Producer<Message>,
    pub outlet: Arc<Outlet>,
    /// Messages that found the ring full: kept, and told again later.
    pub kept: VecDeque<Message>,
}

impl Worker {
    /// Turns until told to stop.
    pub fn run(mut self) {
        loop {
            let mut commands = Vec::new();
            self.inbox.drain(&mut |command| commands.push(command), COMMANDS_MAX);
            for command in commands {
                match command {
                    Command::Run(act) => act(&mut self.shard),
                    Command::Stop => return self.outlet.ring(),
                }
            }
            // What the commands brought about is told before the sleep.
            self.publish();
            let doze = self.bell.prepare_sleep();
            let timeout = if !self.inbox.is_empty() {
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
                self.keep(Message::Log(LogRecord {
                    level: LogLevel::Error,
                    text: format!("the shard ends: {error}"),
                }));
                self.publish();
                return self.outlet.ring();
            }
        }
    }

    fn publish(&mut self) {
        let mut published = false;
        let shard = &mut self.shard;
        for (id, event) in shard.events() {
            let text = format!("forwarder {}: {event}", id.0);
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
            self.outlet.ring();
        }
    }

    fn keep(&mut self, message: Message) {
        self.kept.push_back(message);
    }
}

const COMMANDS_MAX: usize = 64;
const KEPT_MAX: usize = 4096;
const KEPT_RETRY: Duration = Duration::from_millis(10);
