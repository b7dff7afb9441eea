//! The handshake of secure mode: Noise `IK` in two messages, the parameters of both ends in them.
//!
//! The client knows the server's public key; the server learns the client's. The first message is as replayable as any first message:
//! it opens nothing but a half-open connection, which its sender can only use when it has the client's private key.

use super::access::Access;
use super::key::{PrivateKey, PublicKey};
use super::key_log::Secrets;
use super::noise::Primitives;
use super::protector::{PacketKeys, PacketProtector};
use clustercore_proto::datagram::{Established, VERSION};
use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// A client's handshake that waits for its answer.
pub enum Pending {
    /// Nothing to remember in clear mode.
    Clear,
    /// The client's half of a Noise handshake.
    Secure(Box<HandshakeState>),
}

/// The client's first message to the holder of `peer`'s private key.
pub(super) fn initiate(own: &PrivateKey, peer: &PublicKey, parameters: &[u8]) -> Option<(Pending, Vec<u8>)> {
    let mut state = builder(own)?.remote_public_key(peer.as_bytes()).ok()?.build_initiator().ok()?;
    let message = write(&mut state, parameters)?;
    Some((Pending::Secure(Box::new(state)), message))
}

/// The server's answer to a client that is let in, and the secrets of the connection.
pub(super) fn respond(
    own: &PrivateKey,
    access: &Access,
    message: &[u8],
    parameters: &[u8],
) -> Option<(Established<PacketProtector>, Vec<u8>, Secrets)> {
    let mut state = builder(own)?.build_responder().ok()?;
    let theirs = read(&mut state, message)?;
    let client = peer_of(&state).filter(|client| access.allows(client))?;
    let answer = write(&mut state, parameters)?;
    let (from_client, from_server) = secrets(&mut state);
    let secrets = Secrets { own: from_server, peer: from_client };
    Some((established(&secrets, theirs, client), answer, secrets))
}

/// The client takes the server's answer; the secrets of the connection beside it. After `None` it goes on waiting for the true one.
pub(super) fn finish(
    state: &mut HandshakeState,
    message: &[u8],
) -> Option<(Established<PacketProtector>, Secrets)> {
    let theirs = read(state, message)?;
    let server = peer_of(state)?;
    let (from_client, from_server) = secrets(state);
    let secrets = Secrets { own: from_client, peer: from_server };
    Some((established(&secrets, theirs, server), secrets))
}

fn builder(own: &PrivateKey) -> Option<Builder<'_>> {
    Builder::with_resolver(PARAMETERS.clone(), Box::new(Primitives))
        .local_private_key(own.as_bytes())
        .ok()?
        .prologue(&PROLOGUE)
        .ok()
}

fn write(state: &mut HandshakeState, parameters: &[u8]) -> Option<Vec<u8>> {
    let mut message = vec![0; parameters.len() + OVERHEAD_BYTES_MAX];
    let len = state.write_message(parameters, &mut message).ok()?;
    message.truncate(len);
    Some(message)
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Option<Vec<u8>> {
    let mut payload = vec![0; message.len()];
    let len = state.read_message(message, &mut payload).ok()?;
    payload.truncate(len);
    Some(payload)
}

fn peer_of(state: &HandshakeState) -> Option<PublicKey> {
    PublicKey::from_bytes(state.get_remote_static()?.try_into().ok()?)
}

/// The two secrets of a handshake that has ended: for what the client sends, and for what the server sends. They are Noise's own keys
/// of the transport phase, which is not used otherwise.
fn secrets(state: &mut HandshakeState) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let (from_client, from_server) = state.dangerously_get_raw_split();
    (Zeroizing::new(from_client), Zeroizing::new(from_server))
}

fn established(secrets: &Secrets, parameters: Vec<u8>, peer: PublicKey) -> Established<PacketProtector> {
    let keys = PacketKeys::new(secrets.own.clone(), secrets.peer.clone());
    Established {
        protector: PacketProtector::Secure(Box::new(keys)),
        parameters,
        identity: Some(*peer.as_bytes()),
    }
}

static PARAMETERS: LazyLock<NoiseParams> =
    LazyLock::new(|| "Noise_IK_25519_AESGCM_SHA256".parse().expect("a pattern that snow knows"));

/// Both ends must mean the same protocol and version: else the handshake fails.
static PROLOGUE: LazyLock<Vec<u8>> =
    LazyLock::new(|| [&b"clustercore datagram "[..], &VERSION.to_le_bytes()].concat());

/// What Noise adds to a payload at most: a public key, another one with its tag, a tag.
const OVERHEAD_BYTES_MAX: usize = 32 + 48 + 16;
