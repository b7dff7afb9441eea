//! Where a web hook leads, and where it may.

use crate::json::JsonError;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

/// How events are laid out in requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HookMode {
    /// One event in a request, its attributes in `ce-` fields. What does not fit goes structured.
    #[default]
    Binary,
    /// One event in a request, as JSON.
    Structured,
    /// As many as there are, as a JSON array.
    Batched,
}

/// A consumer that is an address.
#[derive(Clone, PartialEq, Eq)]
pub struct HookSpec {
    /// The target's address.
    pub address: SocketAddr,
    /// Path and query, from the slash on: visible ASCII.
    pub path: String,
    /// How events are laid out.
    pub mode: HookMode,
    /// The rate to ask for, in requests per minute.
    pub rate: Option<NonZeroU32>,
    /// Shown to the target as `Authorization: Bearer`; visible ASCII.
    pub token: Option<String>,
}

/// Where hooks may lead. Addresses that are not those of one host are never among them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum HookTargets {
    /// Nowhere.
    Nowhere,
    /// To the server's own machine.
    #[default]
    Loopback,
    /// To these networks.
    Networks(Vec<Prefix>),
    /// Anywhere: where everybody who may consume may also reach all that the server's machine reaches.
    Anywhere,
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl HookMode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            HookMode::Binary => "binary",
            HookMode::Structured => "structured",
            HookMode::Batched => "batched",
        }
    }
}

impl HookSpec {
    /// A hook to `http://IP:PORT/PATH`, without a rate or a token.
    ///
    /// Errors: `Value`.
    pub fn parse(url: &str) -> Result<HookSpec, JsonError> {
        let wrong = || JsonError::value("url", url, URL_WANTED);
        let rest = url.strip_prefix("http://").filter(|_| url.len() <= URL_BYTES_MAX).ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let address = read_authority(authority).ok_or_else(wrong)?;
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(wrong());
        }
        let path = if path.starts_with('/') { path.into() } else { format!("/{path}") };
        Ok(HookSpec { address, path, mode: HookMode::Binary, rate: None, token: None })
    }

    /// The address with its path, without the query: that may hold a secret.
    pub fn url(&self) -> String {
        let path = self.path.split('?').next().unwrap_or("/");
        format!("http://{}{path}", self.address)
    }
}

/// Secrets are not shown.
impl fmt::Debug for HookSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookSpec({}, {}, {:?})", self.url(), self.mode.name(), self.rate)
    }
}

/// Port 80 where none is said.
fn read_authority(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address).filter(|it| it.port() != 0);
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match inner {
        Some(inner) => IpAddr::V6(inner.parse().ok()?),
        None => IpAddr::V4(text.parse().ok()?),
    };
    Some(SocketAddr::new(ip, 80))
}

impl HookTargets {
    /// Reads a list of networks as [`Prefix::parse`] does, with `loopback` for the server's own machine; `anywhere` stands alone. An
    /// empty list is nowhere.
    ///
    /// Errors: `Value`.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<HookTargets, JsonError> {
        let (mut all, mut is_anywhere) = (Vec::new(), false);
        for text in texts {
            match text {
                "anywhere" => is_anywhere = true,
                "loopback" => {
                    all.push(Prefix { address: IpAddr::V4(Ipv4Addr::LOCALHOST), bits: 8 });
                    all.push(Prefix { address: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 });
                }
                network => all.push(Prefix::parse(network)?),
            }
        }
        match (is_anywhere, all.is_empty()) {
            (true, true) => Ok(HookTargets::Anywhere),
            (true, false) => {
                Err(JsonError::value("network", "anywhere", "either anywhere alone, or networks"))
            }
            (false, true) => Ok(HookTargets::Nowhere),
            (false, false) => Ok(HookTargets::Networks(all)),
        }
    }

    /// True when a hook may lead there.
    pub fn allows(&self, ip: IpAddr) -> bool {
        // An IPv4 address in the clothes of IPv6 is that IPv4 address.
        let ip = ip.to_canonical();
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        if ip.is_unspecified() || ip.is_multicast() || is_broadcast {
            return false;
        }
        match self {
            HookTargets::Nowhere => false,
            HookTargets::Loopback => ip.is_loopback(),
            HookTargets::Networks(all) => all.iter().any(|prefix| prefix.has(ip)),
            HookTargets::Anywhere => true,
        }
    }
}

impl Prefix {
    /// Reads `IP/BITS` or `IP`, which is one address.
    ///
    /// Errors: `Value`.
    pub fn parse(text: &str) -> Result<Prefix, JsonError> {
        let wrong = || JsonError::value("network", text, "IP or IP/BITS, such as 10.1.0.0/16 or fd00::/8");
        let (address, bits) = text.split_once('/').map_or((text, None), |(ip, bits)| (ip, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(bits_max), str::parse).map_err(|_| wrong())?;
        if bits > bits_max { Err(wrong()) } else { Ok(Prefix { address, bits }) }
    }

    fn has(self, ip: IpAddr) -> bool {
        let is_equal = |one: u128, other: u128, width: u32| {
            let shift = width - u32::from(self.bits);
            one.checked_shr(shift).unwrap_or(0) == other.checked_shr(shift).unwrap_or(0)
        };
        match (self.address, ip) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                is_equal(u32::from(one).into(), u32::from(other).into(), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => is_equal(one.into(), other.into(), 128),
            _ => false,
        }
    }
}

const URL_WANTED: &str = "http://IP:PORT/PATH in visible ASCII: names are not looked up, and https is not offered (put a proxy that speaks it in front)";
const URL_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_others_are_told_what_is_wanted() {
        let read = |url: &str| HookSpec::parse(url).map(|it| (it.address.to_string(), it.path)).ok();
        let some = |address: &str, path: &str| Some((address.to_string(), path.to_string()));
        assert_eq!(read("http://127.0.0.1:8080/in?key=1"), some("127.0.0.1:8080", "/in?key=1"));
        assert_eq!(read("http://127.0.0.1"), some("127.0.0.1:80", "/"));
        assert_eq!(read("http://[::1]:9?a"), some("[::1]:9", "/?a"));
        assert_eq!(read("http://[::1]/"), some("[::1]:80", "/"));
        for wrong in [
            "",
            "127.0.0.1:1/",
            "http://",
            "http://name:1/",
            "http://u@127.0.0.1:1/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:1/a b",
            "http://127.0.0.1:1/a\r\nX: y",
            "http://127.0.0.1:1/#a",
            "http://::1/",
            "http://127.0.0.1:99999/",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let error = HookSpec::parse("https://127.0.0.1/").unwrap_err().to_string();
        assert!(error.contains("https is not offered"), "{error}");
        let spec =
            HookSpec { token: Some("secret".into()), ..HookSpec::parse("http://127.0.0.1/?s3").unwrap() };
        assert!(!format!("{spec:?}").contains("s3") && !format!("{spec:?}").contains("secret"));
    }

    #[test]
    fn hooks_lead_only_where_they_may() {
        let networks = ["10.1.0.0/16", "192.0.2.7", "fd00::/8"].map(|text| Prefix::parse(text).unwrap());
        let all = [
            HookTargets::Nowhere,
            HookTargets::Loopback,
            HookTargets::Networks(networks.into()),
            HookTargets::Anywhere,
        ];
        let table: Vec<String> = [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "10.1.255.1",
            "::ffff:10.1.0.1",
            "10.2.0.1",
            "192.0.2.7",
            "192.0.2.8",
            "fd12::1",
            "169.254.169.254",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
        ]
        .map(|ip| {
            let allowed = all.iter().map(|it| if it.allows(ip.parse().unwrap()) { 'y' } else { '-' });
            format!("{ip} {}", allowed.collect::<String>())
        })
        .into();
        let expected = [
            "127.0.0.1 -y-y",
            "127.9.9.9 -y-y",
            "::1 -y-y",
            "::ffff:127.0.0.1 -y-y",
            "10.1.255.1 --yy",
            "::ffff:10.1.0.1 --yy",
            "10.2.0.1 ---y",
            "192.0.2.7 --yy",
            "192.0.2.8 ---y",
            "fd12::1 --yy",
            "169.254.169.254 ---y",
            "0.0.0.0 ----",
            ":: ----",
            "255.255.255.255 ----",
            "224.0.0.1 ----",
            "ff02::1 ----",
        ];
        assert_eq!(table, expected);
        let read = HookTargets::parse(["loopback", "10.0.0.0/8"]).unwrap();
        let near = ["127.0.0.1", "::1", "10.9.9.9", "11.0.0.1"].map(|ip| read.allows(ip.parse().unwrap()));
        assert_eq!(near, [true, true, true, false]);
        assert_eq!(HookTargets::parse([]), Ok(HookTargets::Nowhere));
        assert_eq!(HookTargets::parse(["anywhere"]), Ok(HookTargets::Anywhere));
        assert!(HookTargets::parse(["anywhere", "10.0.0.0/8"]).is_err());
        assert!(HookTargets::Networks(vec![Prefix::parse("0.0.0.0/0").unwrap()]).allows([1, 2, 3, 4].into()));
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "name/8", "10.0.0.0/"] {
            assert!(Prefix::parse(wrong).is_err(), "{wrong}");
        }
    }
}
