//! What a proto file says about services, with names resolved.

use prost_types::method_options::IdempotencyLevel;
use prost_types::{DescriptorProto, FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};

/// A file with services.
#[derive(Debug)]
pub struct Model {
    /// `folder/demo.proto`.
    pub file: String,
    /// `package.sub`; may be empty.
    pub package: String,
    pub services: Vec<Service>,
}

#[derive(Debug)]
pub struct Service {
    pub name: String,
    /// `package.Service`.
    pub full_name: String,
    /// Comment in the file, line by line.
    pub doc: Vec<String>,
    pub methods: Vec<Method>,
}

#[derive(Debug)]
pub struct Method {
    pub name: String,
    pub doc: Vec<String>,
    pub request: Type,
    pub reply: Type,
    /// May be executed twice as well as once: `option idempotency_level`.
    pub is_idempotent: bool,
    /// `stream` before its request.
    pub takes_many: bool,
    /// `stream` before its reply.
    pub gives_many: bool,
}

/// A message type.
#[derive(Clone, Debug)]
pub struct Type {
    /// File that has it.
    pub file: String,
    /// Package of that file.
    pub package: String,
    /// Names of the messages around it and its own.
    pub path: Vec<String>,
}

/// What stubs cannot be made of, in words.
#[derive(Debug)]
pub struct ModelError(pub String);

impl Model {
    /// Errors: a type that is not among `all`.
    pub fn of(file: &FileDescriptorProto, all: &[FileDescriptorProto]) -> Result<Model, ModelError> {
        let comments = |path: &[i32]| {
            let info = file.source_code_info.as_ref();
            let found = info.and_then(|info| info.location.iter().find(|location| location.path == path));
            let text = found.map(|location| location.leading_comments()).unwrap_or_default();
            text.lines().map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect()
        };
        let services = file.service.iter().enumerate().map(|(index, service)| {
            let path = [SERVICE_FIELD, index as i32];
            Service::of(file, service, all, comments(&path), &|method| {
                comments(&[path[0], path[1], METHOD_FIELD, method])
            })
        });
        Ok(Model {
            file: file.name().to_string(),
            package: file.package().to_string(),
            services: services.collect::<Result<_, _>>()?,
        })
    }

    /// `folder/demo.proto` without its ending.
    pub fn stem(&self) -> &str {
        stem(&self.file)
    }
}

/// A file's name without `.proto`.
pub fn stem(file: &str) -> &str {
    file.strip_suffix(".proto").unwrap_or(file)
}

impl Service {
    fn of(
        file: &FileDescriptorProto,
        service: &ServiceDescriptorProto,
        all: &[FileDescriptorProto],
        doc: Vec<String>,
        method_doc: &dyn Fn(i32) -> Vec<String>,
    ) -> Result<Service, ModelError> {
        let dot = if file.package().is_empty() { "" } else { "." };
        let full_name = format!("{}{dot}{}", file.package(), service.name());
        let methods = (0..).zip(&service.method).map(|(index, method)| {
            Method::of(
                method,
                &format!("{}: {full_name}.{}", file.name(), method.name()),
                all,
                method_doc(index),
            )
        });
        let methods = methods.collect::<Result<_, _>>()?;
        Ok(Service { name: service.name().to_string(), full_name, doc, methods })
    }
}

impl Method {
    fn of(
        method: &MethodDescriptorProto,
        at: &str,
        all: &[FileDescriptorProto],
        doc: Vec<String>,
    ) -> Result<Method, ModelError> {
        let level = method
            .options
            .as_ref()
            .map_or(IdempotencyLevel::IdempotencyUnknown, |options| options.idempotency_level());
        let find =
            |name: &str| find(name, all).ok_or_else(|| ModelError(format!("{at}: there is no type {name}")));
        Ok(Method {
            name: method.name().to_string(),
            doc,
            request: find(method.input_type())?,
            reply: find(method.output_type())?,
            is_idempotent: level != IdempotencyLevel::IdempotencyUnknown,
            takes_many: method.client_streaming(),
            gives_many: method.server_streaming(),
        })
    }

    /// Whether its calls have parts.
    pub fn is_streamed(&self) -> bool {
        self.takes_many || self.gives_many
    }
}

/// The type of a full name, `.package.Outer.Inner`.
fn find(name: &str, all: &[FileDescriptorProto]) -> Option<Type> {
    let name = name.strip_prefix('.')?;
    all.iter().find_map(|file| {
        let rest = match file.package() {
            "" => name,
            package => name.strip_prefix(package)?.strip_prefix('.')?,
        };
        let path: Vec<String> = rest.split('.').map(str::to_string).collect();
        let is_there = has(&file.message_type, &path);
        is_there.then(|| Type { file: file.name().to_string(), package: file.package().to_string(), path })
    })
}

fn has(messages: &[DescriptorProto], path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let found = messages.iter().find(|message| message.name() == first);
    found.is_some_and(|message| has(&message.nested_type, rest))
}

/// Numbers of fields in descriptor.proto.
const SERVICE_FIELD: i32 = 6;
const METHOD_FIELD: i32 = 2;
