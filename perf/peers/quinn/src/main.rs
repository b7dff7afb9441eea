//! quinn as a peer: `peer-quinn --bytes N --seconds S`, messages of one length on a stream of a QUIC connection on loopback.
//!
//! A thread with a runtime of its own at each end. Messages go to the stream in pieces of up to 64 KiB, which is the best that quinn is
//! given a chance for. Prints a JSON line with the fields of `clustercore-messages`.

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig, VarInt};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What one side did.
struct Side {
    messages: u64,
    cpu_ns: u64,
}

fn main() -> Result<(), Failure> {
    let (mut bytes, mut seconds) = (64usize, 1.0f64);
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--bytes" => bytes = value.parse()?,
            "--seconds" => seconds = value.parse()?,
            _ => return Err(format!("{name} is not an option").into()),
        }
    }
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let certificate = CertificateDer::from(certified.cert);
    let key = PrivatePkcs8KeyDer::from(certified.key_pair.serialize_der());
    let (tell, address) = mpsc::channel();
    let server_certificate = certificate.clone();
    let receiver = std::thread::spawn(move || runtime()?.block_on(receive(bytes, server_certificate, key, tell)));
    let to = address.recv()?;
    let sent = runtime()?.block_on(send(bytes, seconds, certificate, to))?;
    let received = receiver.join().expect("the receiver returns its errors")?;
    let per_message = |side: &Side| side.cpu_ns as f64 / side.messages.max(1) as f64;
    println!(
        "{{\"work\": \"stream\", \"bytes\": {bytes}, \"sent\": {}, \"received\": {}, \"messages_per_second\": {:.1}, \
         \"sender_cpu_ns\": {:.2}, \"receiver_cpu_ns\": {:.2}}}",
        sent.messages,
        received.messages,
        received.messages as f64 / seconds,
        per_message(&sent),
        per_message(&received)
    );
    if sent.messages != received.messages {
        return Err(format!("{} messages were sent, {} have arrived", sent.messages, received.messages).into());
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(WINDOW)).receive_window(VarInt::from_u32(WINDOW));
    transport.send_window(u64::from(WINDOW));
    Arc::new(transport)
}

async fn receive(
    bytes: usize,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    tell: mpsc::Sender<SocketAddr>,
) -> Result<Side, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut crypto = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())?;
    crypto.alpn_protocols = vec![b"messages".to_vec()];
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(crypto)?));
    config.transport_config(transport());
    let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?;
    tell.send(endpoint.local_addr()?)?;
    let connection = endpoint.accept().await.ok_or("nobody came")?.await?;
    let mut stream = connection.accept_uni().await?;
    let cpu_start = thread_cpu_ns();
    let mut total = 0u64;
    // Where they lie, without a copy of ours.
    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await? {
        total += chunk.bytes.len() as u64;
    }
    let side = Side { messages: total / bytes as u64, cpu_ns: thread_cpu_ns() - cpu_start };
    connection.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
    Ok(side)
}

async fn send(
    bytes: usize,
    seconds: f64,
    certificate: CertificateDer<'static>,
    to: SocketAddr,
) -> Result<Side, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut crypto = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    crypto.alpn_protocols = vec![b"messages".to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
    config.transport_config(transport());
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(to, "localhost")?.await?;
    let mut stream = connection.open_uni().await?;
    let in_a_piece = (PIECE / bytes).max(1);
    let piece = vec![0x5a_u8; in_a_piece * bytes];
    let (cpu_start, mut messages) = (thread_cpu_ns(), 0);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < until {
        stream.write_all(&piece).await?;
        messages += in_a_piece as u64;
    }
    let cpu_ns = thread_cpu_ns() - cpu_start;
    stream.finish()?;
    connection.closed().await;
    Ok(Side { messages, cpu_ns })
}

fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place is writable, and the clock is there on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

const WINDOW: u32 = 4 << 20;
const PIECE: usize = 64 << 10;
