//! What the service says, on its way into messages.

use super::Handler;
use super::task::TaskId;
use crate::io::Driver;
use crate::messages::Sent;
use clustercore_proto::forward::http::{BodyCursor, Framing, forward_response_resumed};
use clustercore_proto::job::{Message, PART_BYTES_MAX, Why};

/// What is to be done with what has come.
enum Next {
    /// So many bytes of it leave; `true`: with them the response is whole.
    Part(usize, bool),
    /// A head has not come whole.
    Gather(usize),
    /// The credit is used up.
    Wait,
    /// It makes no sense.
    Nonsense,
}

impl<D: Driver> Handler<D> {
    /// Sends on what there is of a task's response, as the credit allows.
    pub(super) fn pump(&mut self, id: TaskId) {
        loop {
            let Some(task) = self.tasks.get_mut(id).filter(|task| !task.is_blocked) else { return };
            let Some(link) = task.link.and_then(|link| self.links.get_mut(link)) else { return };
            if link.side.input.is_empty() {
                if link.side.ended {
                    return self.on_service_end(id);
                }
                return link.side.read(&mut self.driver);
            }
            match self.look(id) {
                Next::Part(len, is_end) => {
                    if !self.send_part(id, len, is_end) {
                        return;
                    }
                }
                Next::Gather(seen) => {
                    let Some(link) = self.tasks.get(id).and_then(|task| self.links.get_mut(task.link?))
                    else {
                        return;
                    };
                    link.side.input.gather(&mut self.driver);
                    if link.side.input.len() == seen {
                        if link.side.ended {
                            return self.fail(id, Why::Cut);
                        }
                        return link.side.read(&mut self.driver);
                    }
                }
                Next::Wait => {
                    if let Some(link) = self.tasks.get(id).and_then(|task| self.links.get_mut(task.link?)) {
                        link.side.stop(&mut self.driver);
                    }
                    return;
                }
                Next::Nonsense => return self.fail(id, Why::Nonsense),
            }
        }
    }

    /// How much of what has come leaves in one part.
    fn look(&mut self, id: TaskId) -> Next {
        let Some(task) = self.tasks.get_mut(id) else { return Next::Wait };
        let Some(link) = task.link.and_then(|link| self.links.get_mut(link)) else { return Next::Wait };
        let front = link.side.input.front(&self.driver);
        let limits = &self.config.limits;
        if task.passing == 0 && task.body.is_none() {
            self.scratch.clear();
            // What it would be to the client does not matter here: the front end rewrites it.
            let plan = forward_response_resumed(
                &mut link.scan,
                front,
                &task.plan(),
                "job",
                true,
                limits,
                &mut self.scratch,
            );
            match plan {
                Ok(None) => return Next::Gather(front.len()),
                Err(_) => return Next::Nonsense,
                Ok(Some(plan)) => {
                    task.passing = plan.head_len;
                    if !plan.interim {
                        task.body = Some(BodyCursor::new(plan.framing, limits));
                        task.keeps = plan.backend_keep_alive && plan.framing != Framing::UntilClose;
                    }
                }
            }
        }
        let room = task.response.room().min(PART_BYTES_MAX);
        if room == 0 {
            return Next::Wait;
        }
        let head = task.passing.min(front.len()).min(room);
        task.passing -= head;
        let Some(body) = task.body.as_mut().filter(|_| task.passing == 0) else {
            return Next::Part(head, false);
        };
        match body.take(&front[head..front.len().min(room)]) {
            Ok(taken) => Next::Part(head + taken.len, taken.done),
            Err(_) => Next::Nonsense,
        }
    }

    /// Sends a part. `false`: no more for now.
    fn send_part(&mut self, id: TaskId, len: usize, is_end: bool) -> bool {
        let Some(task) = self.tasks.get_mut(id) else { return false };
        if len == 0 && !is_end {
            return false;
        }
        let (connection, exchange) = task.name;
        let stream = task.response.send(exchange, len, is_end);
        let Some(link) = task.link.and_then(|link| self.links.get_mut(link)) else { return false };
        let mut message = std::mem::take(&mut self.scratch);
        message.clear();
        let bytes = if len == 0 { &[] } else { &link.side.input.front(&self.driver)[..len] };
        Message::Part { exchange, is_end, bytes }.put(&mut message);
        link.side.input.advance(&mut self.driver, len);
        let sent = self.say(connection, stream, &message, Some(id));
        self.scratch = message;
        if is_end {
            self.finish(id);
            return false;
        }
        if sent == Sent::Now {
            return true;
        }
        if let Some(task) = self.tasks.get_mut(id) {
            task.is_blocked = true;
        }
        false
    }

    /// The service has ended its side, and all of what it said is on its way.
    fn on_service_end(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(id) else { return };
        if task.passing == 0 && task.body.as_ref().is_some_and(BodyCursor::on_close) {
            self.send_part(id, 0, true);
        } else {
            let why = task.why_ended();
            self.fail(id, why);
        }
    }
}
