//! What a request is about: the path, and the parameters behind it.

use super::problem::Problem;
use crate::json::shortened;
use clustercore_proto::forward::http::Method;
use clustercore_proto::time::Duration;

/// A resource. Names are decoded; `None` stands for the default channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Route {
    Server,
    Channels,
    Events(Option<String>),
    Channel(String),
    Acknowledge(String),
    Why(String),
    Consumers(String),
    Consumer(String, String),
}

/// A route and its parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub route: Route,
    parameters: Vec<(String, String)>,
}

impl Target {
    /// Takes the target of a request head apart, as the forwarder's rules left it.
    ///
    /// Errors: 404 for a path that is none of ours, 400 for malformed encoding and parameters that are given twice.
    pub fn parse(text: &str) -> Result<Target, Problem> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let route = route(path)?;
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name, true)?, decode(value, true)?);
            if parameters.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Problem::new(400, format!("parameter {:?} is given twice", shortened(&name))));
            }
            if parameters.len() == PARAMETERS_MAX {
                return Err(Problem::new(400, format!("more than {PARAMETERS_MAX} parameters, the limit")));
            }
            parameters.push((name, value));
        }
        Ok(Target { route, parameters })
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
    }

    /// Refuses parameters that nothing is known of.
    pub fn expect_only(&self, known: &[&str]) -> Result<(), Problem> {
        let mut names = self.parameters.iter().map(|(name, _)| &**name);
        match names.find(|name| *name != "access_token" && !known.contains(name)) {
            Some(name) => {
                let detail = format!("parameter {:?} is unknown here: there are {known:?}", shortened(name));
                Err(Problem::new(400, detail))
            }
            None => Ok(()),
        }
    }

    /// A whole number between bounds.
    pub fn number(&self, name: &str, default: u32, min: u32, max: u32) -> Result<u32, Problem> {
        let Some(text) = self.parameter(name) else { return Ok(default) };
        let plain = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = plain.and_then(|text| text.parse().ok()).filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| {
            Problem::new(400, format!("{name} is {:?}, possible are {min} to {max}", shortened(text)))
        })
    }

    /// Seconds, perhaps with decimals.
    pub fn seconds(&self, name: &str, max: Duration) -> Result<Duration, Problem> {
        let Some(text) = self.parameter(name) else { return Ok(Duration::ZERO) };
        let length = crate::json::Scalar::Number(text).to_seconds(name)?;
        if length > max {
            let detail = format!("{name} is {text} seconds, limit is {}", max.as_secs());
            return Err(Problem::new(400, detail));
        }
        Ok(length)
    }

    /// True or false.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.parameter(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                Err(Problem::new(400, format!("{name} is {:?}, wanted is true or false", shortened(other))))
            }
        }
    }
}

impl Route {
    /// The methods that it knows.
    pub fn allow(&self) -> &'static str {
        match self {
            Route::Server => "OPTIONS",
            Route::Events(_) => "GET, POST, OPTIONS",
            Route::Acknowledge(_) => "POST, OPTIONS",
            Route::Channels | Route::Why(_) | Route::Consumers(_) => "GET, HEAD, OPTIONS",
            Route::Channel(_) | Route::Consumer(..) => "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
        }
    }

    pub fn allows(&self, method: Method) -> bool {
        let name = match method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
            Method::Trace | Method::Connect | Method::Other => return false,
        };
        self.allow().split(", ").any(|it| it == name)
    }
}

fn route(path: &str) -> Result<Route, Problem> {
    let mut segments = Vec::new();
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        if segments.len() > SEGMENTS_MAX {
            break;
        }
        segments.push(decode(segment, false)?);
    }
    let parts: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    let route = match parts[..] {
        ["*"] if path == "*" => Route::Server,
        [""] | ["events"] => Route::Events(None),
        ["channels"] => Route::Channels,
        ["channels", "", ..] => return Err(not_found(path)),
        ["channels", channel] => Route::Channel(channel.into()),
        ["channels", channel, "events"] => Route::Events(Some(channel.into())),
        ["channels", channel, "acknowledge"] => Route::Acknowledge(channel.into()),
        ["channels", channel, "why"] => Route::Why(channel.into()),
        ["channels", channel, "consumers"] => Route::Consumers(channel.into()),
        ["channels", channel, "consumers", name] if !name.is_empty() => {
            Route::Consumer(channel.into(), name.into())
        }
        _ => return Err(not_found(path)),
    };
    Ok(route)
}

fn not_found(path: &str) -> Problem {
    Problem::new(404, format!("there is nothing at {:?}: channels are at /channels", shortened(path)))
}

/// One round of percent-decoding; in a query, `+` is a space.
fn decode(text: &str, is_query: bool) -> Result<String, Problem> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'%' => {
                let digits = rest.split_at_checked(2).and_then(|(digits, tail)| {
                    let digit = |byte: u8| char::from(byte).to_digit(16);
                    Some((digit(digits[0])? * 16 + digit(digits[1])?, tail))
                });
                let Some((value, tail)) = digits else { return Err(malformed(text)) };
                decoded.push(value as u8);
                rest = tail;
            }
            b'+' if is_query => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
    }
    String::from_utf8(decoded).map_err(|_| malformed(text))
}

fn malformed(text: &str) -> Problem {
    let detail = format!("{:?} in the target is malformed: percent-encode UTF-8", shortened(text));
    Problem::new(400, detail)
}

const PARAMETERS_MAX: usize = 16;
const SEGMENTS_MAX: usize = 4;
