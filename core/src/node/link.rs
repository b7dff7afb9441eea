//! A node's connection to one of its shards.

use super::command::{Command, Signals};
use super::lock;
use crate::error::{Code, Error, Result};
use crate::io::Waker;
use crate::shard::Shard;
use clustercore_queue::bell::Bell;
use clustercore_queue::mpsc;
use std::sync::mpsc as channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The node's end. The thread ends with it.
pub(super) struct ShardLink {
    pub index: usize,
    /// Locked for as long as it takes to put a command in: all threads that share the node send by one lane, in one order.
    pub commands: Mutex<mpsc::Sender<Command>>,
    pub signals: Arc<Signals>,
    pub bell: Arc<Bell>,
    pub waker: Waker,
    pub thread: Mutex<Option<JoinHandle<()>>>,
}

impl ShardLink {
    /// Whether the shard has ended, well or not.
    pub fn is_ended(&self) -> bool {
        lock(&self.commands).is_closed()
    }

    /// Sends a command and waits for its answer.
    ///
    /// Errors: `QueueFull`; `Closed` when the shard has ended or ends before it answers.
    pub fn ask<T: Send + 'static>(&self, act: impl FnOnce(&mut Shard) -> T + Send + 'static) -> Result<T> {
        let (reply, answer) = channel::sync_channel(1);
        let command: Command = Box::new(move |shard| {
            // The asker may have gone; then nobody wants the answer.
            let _ = reply.send(act(shard));
        });
        let sent = lock(&self.commands).try_send(command);
        match sent {
            Ok(()) => self.ring(),
            Err(mpsc::SendError::Full(_)) => {
                let text = format!("{} commands wait for the shard already", lock(&self.commands).capacity());
                return Err(Error::new(Code::QueueFull, text));
            }
            Err(mpsc::SendError::Closed(_)) => return Err(self.ended()),
        }
        loop {
            match answer.recv_timeout(ENDED_LOOK) {
                Ok(answer) => return Ok(answer),
                Err(channel::RecvTimeoutError::Disconnected) => return Err(self.ended()),
                // The command may have come after the shard's last look: then it lies in the ring, and nobody ever answers. What
                // was answered before the end is here by now.
                Err(channel::RecvTimeoutError::Timeout) if self.is_ended() => {
                    return answer.try_recv().map_err(|_| self.ended());
                }
                Err(channel::RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Tells the shard that a child list has changed. Never lost; nobody to tell when the shard has ended.
    pub fn change_list(&self) {
        self.signals.change_list();
        self.ring();
    }

    /// Tells the thread to end.
    pub fn stop(&self) {
        self.signals.stop();
        self.waker.wake();
    }

    /// Waits for the end of the thread, except on the thread itself.
    pub fn join(&self) {
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic was logged by the worker.
            let _ = thread.join();
        }
    }

    fn ring(&self) {
        if self.bell.ring() {
            self.waker.wake();
        }
    }

    fn ended(&self) -> Error {
        Error::new(Code::Closed, format!("the node is closed: its shard {} has ended", self.index))
    }
}

impl Drop for ShardLink {
    fn drop(&mut self) {
        self.stop();
        self.join();
    }
}

/// How often an asker looks whether the shard is still there.
const ENDED_LOOK: Duration = Duration::from_millis(100);
