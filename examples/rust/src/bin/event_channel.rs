//! Event channels: a server, a supplier of performance reports, two consumers who do not know it.
//!
//! All are turned by one loop here; between machines nothing is different but the address.

use clustercore::channel::engine::access::Access;
use clustercore::channel::engine::hub::HubConfig;
use clustercore::channel::engine::participant::{ParticipantConfig, SupplyConfig};
use clustercore::channel::engine::{Event, EventLimits};
use clustercore::channel::{ChannelServer, ChannelServerConfig, Link, Participant};
use clustercore::io::DriverChoice;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = HubConfig { access: Access::open(), ..HubConfig::default() };
    let config = ChannelServerConfig { hub, ..ChannelServerConfig::default() };
    let mut server = ChannelServer::open(DriverChoice::Auto, Duration::ZERO, config)?;
    let tcp = Link::Tcp(server.listen_tcp("127.0.0.1:0".parse()?)?);
    let udp = Link::Udp(server.listen_udp("127.0.0.1:0".parse()?)?, None);
    let rpc = Link::Rpc(server.listen_rpc("127.0.0.1:0".parse()?)?, None);
    let join = |link: &Link| {
        let config = ParticipantConfig::default();
        Participant::open(DriverChoice::Auto, Duration::ZERO, *link, None, false, config)
    };

    // One wants all, over reliable datagrams; the other what is urgent, and says when it is done.
    let (mut everything, mut alarms, mut supplier) = (join(&udp)?, join(&tcp)?, join(&tcp)?);
    everything.consume("");
    let alarm = alarms
        .consume(r#""name":"alarms","spec":{"filter":"load > 0.8","qos":{"acknowledgement":"explicit"}}"#);
    let handle = supplier.supply("", SupplyConfig::default());

    let (mut all, mut urgent, mut is_emitted) = (Vec::new(), Vec::new(), false);
    for _ in 0..1000 {
        server.turn_for(Some(Duration::from_millis(1)))?;
        for participant in [&mut everything, &mut alarms, &mut supplier] {
            participant.turn_for(Some(Duration::from_millis(1)))?;
        }
        let engine = server.hub().engine();
        let channel = engine.default_channel();
        let consumers = engine.machine(channel).map_or(0, |channel| channel.supplier_proxies().count());
        if !is_emitted && consumers == 2 {
            let reports = (1..=4).map(report).collect::<Result<Vec<_>, _>>()?;
            // A link may be exchanged for one of another kind while events flow: the queue of a consumer with a name stays.
            alarms.relink(rpc, None)?;
            supplier.emit(handle, &reports)?;
            is_emitted = true;
        }
        all.extend(std::iter::from_fn(|| everything.take()));
        urgent.extend(std::iter::from_fn(|| alarms.take()));
        if all.len() == 4 && urgent.len() == 2 {
            break;
        }
    }
    for (_, delivered) in &all {
        println!("{} of {}, offset {}", delivered.event.kind(), delivered.event.source(), delivered.offset);
    }
    let names: Vec<_> = urgent.iter().filter_map(|(_, delivered)| delivered.delivery).collect();
    alarms.machine().acknowledge(alarm, &names);
    println!("{} alarms", names.len());
    Ok(())
}

fn report(number: i32) -> Result<Event, clustercore::channel::engine::EventError> {
    Event::builder(number.to_string(), format!("/node/{}", number % 2), "load.changed")
        .field("load", 0.3 * f64::from(number))
        .build(&EventLimits::default())
}
