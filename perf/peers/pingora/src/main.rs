//! Pingora as a peer: `peer-pingora --listen A --backend B [--backend C ...]`, one worker thread.

use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::prelude::*;
use pingora::proxy::http_proxy_service;
use pingora::server::configuration::ServerConf;
use std::sync::Arc;

/// Sends every request to the next back end.
struct InTurn(Arc<LoadBalancer<RoundRobin>>);

#[async_trait]
impl ProxyHttp for InTurn {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _context: &mut ()) -> Result<Box<HttpPeer>> {
        let backend = self.0.select(b"", 256).expect("back ends are fixed and never unhealthy");
        Ok(Box::new(HttpPeer::new(backend, false, String::new())))
    }
}

fn main() {
    let (mut listen, mut backends) = (String::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--listen" => listen = value,
            "--backend" => backends.push(value),
            _ => panic!("{name} is not an option"),
        }
    }
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 512, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let upstreams = LoadBalancer::try_from_iter(backends).expect("addresses of back ends");
    let mut service = http_proxy_service(&server.configuration, InTurn(Arc::new(upstreams)));
    if let Some(logic) = service.app_logic_mut() {
        logic.server_options = Some(HttpServerOptions::default());
    }
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
