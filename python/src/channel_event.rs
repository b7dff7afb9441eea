//! Structured events of channels.

use crate::argument::{count, invalid, moment};
use crate::errors::Answer;
use crate::payload::Payload;
use clustercore::channel::engine::event::FieldValue;
use clustercore::channel::engine::wire::Delivered;
use clustercore::channel::engine::{DeliveryId, Event, EventLimits, Instant, Reliability};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyString};

/// A structured event: what suppliers emit and consumers get. One to one with CloudEvents: `type` is its type, `name` its subject,
/// `key` its partition key, `fields` its extensions, `body` its data. Times are seconds since 1970.
///
/// Raises InvalidArgument: what is wrong with it.
#[pyclass(frozen, module = "clustercore")]
pub struct ChannelEvent(pub Event);

#[pymethods]
impl ChannelEvent {
    #[new]
    #[pyo3(signature = (id, source, r#type, *, domain="", name="", content_type="", schema="", time=None, priority=None,
        expiry=None, start=None, persistent=None, key=None, sequence=None, fields=None, body=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        id: &str,
        source: &str,
        r#type: &str,
        domain: &str,
        name: &str,
        content_type: &str,
        schema: &str,
        time: Option<f64>,
        priority: Option<i64>,
        expiry: Option<f64>,
        start: Option<f64>,
        persistent: Option<bool>,
        key: Option<&str>,
        sequence: Option<u64>,
        fields: Option<&Bound<'_, PyDict>>,
        body: Option<Payload<'_>>,
    ) -> Answer<ChannelEvent> {
        let mut builder = Event::builder(id, source, r#type)
            .domain(domain)
            .name(name)
            .content_type(content_type)
            .schema(schema);
        macro_rules! apply {
            ($($setter:ident: $from:expr),*) => {
                $(if let Some(value) = $from { builder = builder.$setter(value); })*
            };
        }
        let at = |name: &str, value: Option<f64>| value.map(|value| moment(name, value)).transpose();
        let reliability = |is| if is { Reliability::Persistent } else { Reliability::BestEffort };
        apply!(time: at("time", time)?, expiry: at("expiry", expiry)?, start: at("start", start)?);
        apply!(priority: priority.map(|it| count("priority", it, 0..=255u8)).transpose()?);
        apply!(reliability: persistent.map(reliability), key: key, sequence: sequence);
        apply!(body: body.as_ref().map(|body| body.as_bytes()));
        for (name, value) in fields.into_iter().flatten() {
            let name: String = name.extract()?;
            let value = field(&name, &value)?;
            builder = builder.field(name, value);
        }
        let event = builder.build(&EventLimits::default()).map_err(|error| invalid(error.to_string()))?;
        Ok(ChannelEvent(event))
    }

    /// Its id, unique among the events of its source.
    #[getter]
    fn id(&self) -> &str {
        self.0.id()
    }
    /// Who made it: a URI reference.
    #[getter]
    fn source(&self) -> &str {
        self.0.source()
    }
    /// Its type.
    #[getter]
    fn r#type(&self) -> &str {
        self.0.kind()
    }
    /// The trade that its type belongs to; may be empty.
    #[getter]
    fn domain(&self) -> &str {
        self.0.domain()
    }
    /// What it is about; may be empty.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }
    /// The media type of the body; may be empty.
    #[getter]
    fn content_type(&self) -> &str {
        self.0.content_type()
    }
    /// The schema of the body; may be empty.
    #[getter]
    fn schema(&self) -> &str {
        self.0.schema()
    }
    /// When it happened.
    #[getter]
    fn time(&self) -> Option<f64> {
        self.0.time().map(seconds)
    }
    /// Its priority, 0 to 255.
    #[getter]
    fn priority(&self) -> Option<u8> {
        self.0.header().priority
    }
    /// From when on nobody wants it.
    #[getter]
    fn expiry(&self) -> Option<f64> {
        self.0.header().expiry.map(seconds)
    }
    /// Before when nobody gets it.
    #[getter]
    fn start(&self) -> Option<f64> {
        self.0.header().start.map(seconds)
    }
    /// Whether it is to be on disk before it counts as taken.
    #[getter]
    fn persistent(&self) -> Option<bool> {
        self.0.header().reliability.map(|it| it == Reliability::Persistent)
    }
    /// Its ordering key.
    #[getter]
    fn key(&self) -> Option<&str> {
        self.0.key().map(|it| &**it)
    }
    /// Its number among those of its source.
    #[getter]
    fn sequence(&self) -> Option<u64> {
        self.0.sequence()
    }
    /// Its filterable fields. A moment is a float.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        for field in self.0.fields() {
            let name = &*field.name;
            match &field.value {
                FieldValue::Bool(it) => fields.set_item(name, it)?,
                FieldValue::Int(it) => fields.set_item(name, it)?,
                FieldValue::Float(it) => fields.set_item(name, it)?,
                FieldValue::Text(it) => fields.set_item(name, &**it)?,
                FieldValue::Bytes(it) => fields.set_item(name, PyBytes::new(py, it))?,
                FieldValue::Time(it) => fields.set_item(name, seconds(*it))?,
            }
        }
        Ok(fields)
    }
    /// Its body.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.body())
    }

    fn __repr__(&self) -> String {
        format!(
            "<ChannelEvent {:?} of {:?}: {:?}, {} bytes>",
            self.0.id(),
            self.0.source(),
            self.0.kind(),
            self.0.body().len()
        )
    }
}

/// An event that a consumer got.
#[pyclass(frozen, module = "clustercore")]
pub struct Delivery {
    handle: u64,
    event: Py<ChannelEvent>,
    offset: u64,
    tries: u16,
    delivery: Option<u64>,
}

impl Delivery {
    pub fn new(py: Python<'_>, handle: u64, delivered: Delivered) -> PyResult<Delivery> {
        let Delivered { event, offset, tries, delivery } = delivered;
        let event = Py::new(py, ChannelEvent(event))?;
        Ok(Delivery { handle, event, offset, tries, delivery: delivery.map(number) })
    }
}

#[pymethods]
impl Delivery {
    /// The consumer's proxy: what `Participant.consume` returned.
    #[getter]
    fn handle(&self) -> u64 {
        self.handle
    }
    /// The event.
    #[getter]
    fn event(&self, py: Python<'_>) -> Py<ChannelEvent> {
        self.event.clone_ref(py)
    }
    /// Its place in the channel's order; 0 for one delivered directly.
    #[getter]
    fn offset(&self) -> u64 {
        self.offset
    }
    /// How often it was handed over before.
    #[getter]
    fn tries(&self) -> u16 {
        self.tries
    }
    /// Its name for `Participant.acknowledge`; None when nothing is to be acknowledged.
    #[getter]
    fn delivery(&self) -> Option<u64> {
        self.delivery
    }
}

/// A delivery's name as one number.
pub fn number(delivery: DeliveryId) -> u64 {
    u64::from(delivery.generation) << 32 | u64::from(delivery.index)
}

/// The reverse of [`number`].
pub fn delivery(number: u64) -> DeliveryId {
    DeliveryId { index: number as u32, generation: (number >> 32) as u32 }
}

fn field(name: &str, value: &Bound<'_, PyAny>) -> Answer<FieldValue> {
    if value.is_instance_of::<PyBool>() {
        return Ok(value.extract::<bool>()?.into());
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(value.extract::<i64>()?.into());
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(value.extract::<f64>()?.into());
    }
    if value.is_instance_of::<PyString>() {
        return Ok(value.extract::<String>()?.into());
    }
    match value.extract::<Payload<'_>>() {
        Ok(bytes) => Ok(bytes.as_bytes().into()),
        Err(_) => {
            Err(invalid(format!("field {name:?} is no bool, int, float, str or bytes: {value}")).into())
        }
    }
}

fn seconds(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e9
}
