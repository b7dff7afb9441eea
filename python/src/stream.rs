//! Streamed calls, made.

use crate::channel::{SIGNALS_EVERY, exception};
use crate::errors::Answer;
use crate::exit::detached;
use crate::guard::Guarded;
use crate::payload::Payload;
use clustercore::Code;
use clustercore::calls::{self, Ended};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// A streamed call: an iterator of the parts of its results. Made by `Channel.stream`; as a context manager it is cancelled at the end of the block
/// when it has not ended.
///
/// The iteration ends with the call, and raises CallFailed when that has failed.
#[pyclass(frozen, module = "clustercore", weakref)]
pub struct Stream {
    inner: Guarded<(calls::Channel, calls::Streamed)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where parts of the arguments come from.
    source: Option<Py<PyIterator>>,
    /// One of them that found no room.
    held: Option<Vec<u8>>,
    ended: Option<Ended>,
}

#[pymethods]
impl Stream {
    /// Sends a part of the arguments, waiting for room; other threads run meanwhile.
    ///
    /// Raises TooLarge (64 KiB), NoSuchCall (the call has ended: `results` tells how; or its parts have), WrongThread.
    fn send(&self, py: Python<'_>, part: Payload<'_>) -> Answer<()> {
        while !self.inner.get()?.1.try_send(part.as_bytes())? {
            self.turn(py)?;
        }
        Ok(())
    }

    /// Sends a part if there is room for it now. Raises TooLarge, NoSuchCall.
    fn try_send(&self, part: Payload<'_>) -> Answer<bool> {
        Ok(self.inner.get()?.1.try_send(part.as_bytes())?)
    }

    /// Sends no more parts. Does nothing when called again.
    fn end(&self) -> Answer<()> {
        self.inner.get()?.1.end();
        Ok(())
    }

    /// The next part of the results if one is there now, else None; see `is_over`.
    fn try_take<'py>(&self, py: Python<'py>) -> Answer<Option<Bound<'py, PyBytes>>> {
        Ok(match self.inner.get()?.1.try_take() {
            Poll::Ready(Some(part)) => Some(PyBytes::new(py, &part)),
            _ => None,
        })
    }

    /// Whether the call has ended.
    #[getter]
    fn is_over(&self) -> Answer<bool> {
        Ok(self.ended()?.is_some())
    }

    /// What the call has returned besides its parts, waiting for its end; parts that were not taken are dropped. Raises CallFailed.
    fn results<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyBytes>> {
        loop {
            self.feed(py)?;
            while let Poll::Ready(Some(_)) = self.inner.get()?.1.try_take() {}
            match self.ended()? {
                Some(Err(failure)) => return Err(exception(py, &failure)?.into()),
                Some(Ok(reply)) => return Ok(PyBytes::new(py, &reply.results)),
                None => {}
            }
            self.turn(py)?;
        }
    }

    /// Asks the server to end the call; how it ends is told as ever. Does nothing when it has ended.
    fn cancel(&self) -> Answer<()> {
        self.inner.get()?.1.cancel();
        Ok(())
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> Answer<Option<Bound<'py, PyBytes>>> {
        loop {
            self.feed(py)?;
            match self.inner.get()?.1.try_take() {
                Poll::Ready(Some(part)) => return Ok(Some(PyBytes::new(py, &part))),
                Poll::Ready(None) => break,
                Poll::Pending => self.turn(py)?,
            }
        }
        match self.ended()? {
            Some(Err(failure)) => Err(exception(py, &failure)?.into()),
            _ => Ok(None),
        }
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) -> Answer<()> {
        self.cancel()
    }

    fn __repr__(&self) -> String {
        let (place, number) = self.inner.get().map_or((0, 0), |inner| inner.1.handle().to_raw());
        format!("<clustercore.Stream {place}.{number}>")
    }
}

impl Stream {
    pub fn new(channel: calls::Channel, stream: calls::Streamed, source: Option<Py<PyIterator>>) -> Stream {
        let state = Mutex::new(State { source, ..State::default() });
        Stream { inner: Guarded::new((channel, stream)), state }
    }

    /// How the call has ended, if it has.
    fn ended(&self) -> Answer<Option<Ended>> {
        let stream = &self.inner.get()?.1;
        let mut state = self.lock();
        if state.ended.is_none() {
            state.ended = stream.try_status();
        }
        Ok(state.ended.clone())
    }

    /// Takes no more from the iterable; what it is, is let go outside of the lock.
    fn let_go(&self) {
        let source = self.lock().source.take();
        drop(source);
    }

    /// Sends what there is room for, from the iterable of parts.
    fn feed(&self, py: Python<'_>) -> Answer<()> {
        let stream = &self.inner.get()?.1;
        loop {
            let (source, held) = {
                let mut state = self.lock();
                (state.source.as_ref().map(|source| source.clone_ref(py)), state.held.take())
            };
            let Some(source) = source else { return Ok(()) };
            // Not under the lock: it may use this stream.
            let part = match held {
                Some(part) => part,
                None => match source.bind(py).clone().next() {
                    Some(part) => part?.extract::<Payload<'_>>()?.as_bytes().to_vec(),
                    None => {
                        self.let_go();
                        stream.end();
                        return Ok(());
                    }
                },
            };
            match stream.try_send(&part) {
                Ok(true) => {}
                Ok(false) => {
                    self.lock().held = Some(part);
                    return Ok(());
                }
                // Its end is told by the parts that come.
                Err(error) if error.code() == Code::NoSuchCall => {
                    self.let_go();
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Signals are looked at between pieces of a wait.
    fn turn(&self, py: Python<'_>) -> Answer<()> {
        let channel = &self.inner.get()?.0;
        let (turned, _busy) = detached(py, || channel.turn(SIGNALS_EVERY));
        turned?;
        py.check_signals()?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
