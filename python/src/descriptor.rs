//! A descriptor of Python's as one of ours.

use crate::errors::Answer;
use clustercore::{Code, Error};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A listening socket of the caller's, duplicated. Errors: `OSError` when it is not open; `NotAListener` for anything else.
pub fn listener(fd: &Bound<'_, PyAny>) -> Answer<OwnedFd> {
    let ours = duplicate(fd)?;
    match rustix::net::sockopt::socket_acceptconn(&ours) {
        Ok(true) => Ok(ours),
        Ok(false) | Err(_) => {
            let text = "the descriptor is not a socket on which bind and listen were called";
            Err(Error::new(Code::NotAListener, text).into())
        }
    }
}

/// Duplicates `fd`, a number or an object with `fileno()`; the original stays the caller's.
///
/// The kernel passes it through a socket pair, with Python at one end: so a number that may mean anything
/// becomes a descriptor that is ours without a line of unsafe code. Errors: `OSError` for a number that is
/// not open.
fn duplicate(fd: &Bound<'_, PyAny>) -> Answer<OwnedFd> {
    let py = fd.py();
    let number: i32 = match fd.call_method0("fileno") {
        Ok(number) => number.extract()?,
        Err(_) => fd.extract()?,
    };
    let broken = |error: std::io::Error| Error::from_io("duplicate the descriptor", &error);
    let (near, far) = UnixStream::pair().map_err(broken)?;
    let socket = py.import("socket")?;
    let arguments = (socket.getattr("AF_UNIX")?, socket.getattr("SOCK_STREAM")?, 0, far.as_raw_fd());
    let sender = socket.getattr("socket")?.call1(arguments)?;
    let sent = socket.call_method1("send_fds", (&sender, [PyBytes::new(py, b"\0")], [number]));
    // `far` still owns the number.
    sender.call_method0("detach")?;
    sent?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&near, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(|errno| broken(errno.into()))?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(received.ok_or_else(|| {
        Error::new(Code::DescriptorsExhausted, "duplicate the descriptor: no descriptor is free")
    })?)
}
