//! What an OpenAPI document says of one route, and the document of all routes of a worker.
//!
//! The routes of a worker are one table, and each of its rows has the [`Operation`] of its handler: so a route that is not
//! described cannot be served. Schemas come from the types that handlers read and write (`utoipa::ToSchema`).
//!
//! Why not the attribute `#[utoipa::path]`: it takes literals only, so bounds would stand twice; and the routes of hooks are
//! rows of a table, for which there is no function to put it on.
//!
//! Elsewhere: the kinds of values in `watchbell::wire::schema`; several documents as one in [`super::openapi`].

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{
        ComponentsBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, RefOr,
        Required, Schema,
        content::{Content, ContentBuilder},
        extensions::Extensions,
        path::{self, OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        response::ResponseBuilder,
        schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder},
        security::{SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};

use crate::{
    domain::Scope,
    wire::{
        Problem,
        schema::{add, list, of},
    },
};

/// The content types that are used most.
const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Schemas by their names.
type Named = Vec<(String, RefOr<Schema>)>;

/// The schema of a value, with the schemas that it refers to.
pub struct Described {
    schema: RefOr<Schema>,
    named: Named,
}

impl Described {
    /// A value of a type, by its name.
    pub fn of<T: ToSchema>() -> Self {
        let mut named = Vec::new();
        add::<T>(&mut named);
        Self { schema: of::<T>().into(), named }
    }

    /// A value of a type that no other route has: its schema stands where it is used.
    pub fn inline<T: ToSchema>() -> Self {
        let mut named = Vec::new();
        T::schemas(&mut named);
        Self { schema: T::schema(), named }
    }

    /// Several of a type.
    pub fn list_of<T: ToSchema>(max: usize) -> Self {
        let items = Self::of::<T>();
        Self { schema: list(items.schema).max_items(Some(max)).into(), named: items.named }
    }

    /// One of a type, or several.
    pub fn one_or_several<T: ToSchema>(max: usize) -> Self {
        Self::either(Self::of::<T>(), Self::list_of::<T>(max))
    }

    /// One of the two.
    pub fn either(one: Self, other: Self) -> Self {
        let schema = OneOfBuilder::new().item(one.schema).item(other.schema);
        Self { schema: schema.into(), named: [one.named, other.named].concat() }
    }
}

impl From<ObjectBuilder> for Described {
    fn from(schema: ObjectBuilder) -> Self {
        Self { schema: schema.into(), named: Vec::new() }
    }
}

impl From<ArrayBuilder> for Described {
    fn from(schema: ArrayBuilder) -> Self {
        Self { schema: schema.into(), named: Vec::new() }
    }
}

/// The longest answer of a route that does not say another bound, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The word for the longest answer; OpenAPI has none of its own.
const ANSWER_BYTES_MAX_NAME: &str = "x-answer-bytes-max";

/// What a route does, takes and answers.
pub struct Operation {
    operation: OperationBuilder,
    /// The credentials that it takes, where the document says something else of all routes.
    ways: Option<Vec<&'static str>>,
    scope: Option<Scope>,
    answer_bytes_max: usize,
    body: BTreeMap<&'static str, Content>,
    named: Named,
}

impl Operation {
    /// `id` names it for programs, `summary` for people; `group` is the heading it stands under.
    pub fn new(group: &str, id: &str, summary: impl Into<String>) -> Self {
        let operation = OperationBuilder::new().tag(group).operation_id(Some(id)).summary(Some(summary));
        Self {
            operation,
            answer_bytes_max: ANSWER_BYTES_MAX,
            ways: None,
            scope: None,
            body: BTreeMap::new(),
            named: Vec::new(),
        }
    }

    /// Its longest answer in bytes, and of a stream its longest frame. 64 KiB where nothing is said. A test holds every
    /// route to it.
    #[must_use]
    pub fn answers_at_most(mut self, bytes: usize) -> Self {
        self.answer_bytes_max = bytes;
        self
    }

    /// More about it.
    #[must_use]
    pub fn about(mut self, description: impl Into<String>) -> Self {
        self.operation = self.operation.description(Some(description));
        self
    }

    /// A part of its path.
    #[must_use]
    pub fn path(self, name: &str, schema: impl Into<Described>, description: &str) -> Self {
        self.parameter(parameter(ParameterIn::Path, name, description).required(Required::True), schema)
    }

    /// A parameter behind the path that may be left out.
    #[must_use]
    pub fn query(self, name: &str, schema: impl Into<Described>, description: &str) -> Self {
        self.parameter(parameter(ParameterIn::Query, name, description), schema)
    }

    /// The same, and one without a value counts as left out.
    #[must_use]
    pub fn query_or_empty(self, name: &str, schema: impl Into<Described>, description: &str) -> Self {
        // OpenAPI 3.1 has the word, and utoipa has not, because 3.2 advises against it.
        let may_be_empty = Extensions::from_iter([("allowEmptyValue", true)]);
        let parameter = parameter(ParameterIn::Query, name, description).extensions(Some(may_be_empty));
        self.parameter(parameter, schema)
    }

    /// A parameter behind the path that must be given.
    #[must_use]
    pub fn required_query(self, name: &str, schema: impl Into<Described>, description: &str) -> Self {
        self.parameter(parameter(ParameterIn::Query, name, description).required(Required::True), schema)
    }

    /// A header that may be left out.
    #[must_use]
    pub fn header(self, name: &str, schema: impl Into<Described>, description: &str) -> Self {
        self.parameter(parameter(ParameterIn::Header, name, description), schema)
    }

    fn parameter(mut self, parameter: ParameterBuilder, schema: impl Into<Described>) -> Self {
        let Described { schema, named } = schema.into();
        self.named.extend(named);
        self.operation = self.operation.parameter(parameter.schema(Some(schema)));
        self
    }

    /// A body of this content type. There may be several types; one of them must be sent.
    #[must_use]
    pub fn body_as(mut self, content_type: &'static str, schema: impl Into<Described>) -> Self {
        let Described { schema, named } = schema.into();
        self.named.extend(named);
        self.body.insert(content_type, Content::new(Some(schema)));
        self
    }

    /// A body of JSON.
    #[must_use]
    pub fn body(self, schema: impl Into<Described>) -> Self {
        self.body_as(JSON, schema)
    }

    /// The body of JSON as somebody may write it.
    #[must_use]
    pub fn example(mut self, example: Value) -> Self {
        if let Some(content) = self.body.get_mut(JSON) {
            content.example = Some(example);
        }
        self
    }

    /// An answer in JSON.
    #[must_use]
    pub fn answers(self, status: u16, description: &str, schema: impl Into<Described>) -> Self {
        self.answers_as(status, description, JSON, schema)
    }

    /// An answer of this content type.
    #[must_use]
    pub fn answers_as(
        mut self,
        status: u16,
        description: &str,
        content_type: &str,
        schema: impl Into<Described>,
    ) -> Self {
        let Described { schema, named } = schema.into();
        self.named.extend(named);
        let content = ContentBuilder::new().schema(Some(schema)).build();
        self.answer(status, ResponseBuilder::new().description(description).content(content_type, content))
    }

    /// An answer without a body.
    #[must_use]
    pub fn done(self, status: u16, description: &str) -> Self {
        self.answer(status, ResponseBuilder::new().description(description))
    }

    /// An answer that is a problem document.
    #[must_use]
    pub fn refuses(self, status: u16, description: &str) -> Self {
        self.answers_as(status, description, PROBLEM, Described::of::<Problem>())
    }

    fn answer(mut self, status: u16, response: ResponseBuilder) -> Self {
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    /// It asks nobody who they are.
    #[must_use]
    pub fn for_everybody(self) -> Self {
        self.secured_by(&[])
    }

    /// It takes any of these credentials, where the document says something else of all routes. An empty name: none.
    #[must_use]
    pub fn secured_by(mut self, ways: &[&'static str]) -> Self {
        self.ways = Some(ways.to_vec());
        self
    }

    /// Whatever the credential is, it must have this scope.
    #[must_use]
    pub fn needs_scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }
}

fn parameter(place: ParameterIn, name: &str, description: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .parameter_in(place)
        .name(name)
        .description(Some(description))
        .required(Required::False)
}

/// A credential, with the scope that it must have: OpenAPI 3.1 has a place for "role names" there.
fn requirement(way: &str, scope: Option<Scope>) -> SecurityRequirement {
    match way {
        "" => SecurityRequirement::default(),
        way => SecurityRequirement::new(way, scope.map(Scope::as_str)),
    }
}

/// Says for people which scope an operation needs, and what it answers without it.
fn describe_scope(operation: &mut path::Operation, scope: Scope) {
    let needs = format!("The API key needs the scope `{scope}`.");
    let lacks = format!("The API key does not have the scope `{scope}`.");
    let about = operation.description.take();
    operation.description = Some(about.map_or_else(|| needs.clone(), |about| format!("{about}\n\n{needs}")));
    let responses = &mut operation.responses.responses;
    if let Some(RefOr::T(refusal)) = responses.get_mut("403") {
        refusal.description = format!("{lacks} Or: {}", refusal.description);
    } else {
        let content = ContentBuilder::new().schema(Some(of::<Problem>())).build();
        let refusal = ResponseBuilder::new().description(lacks).content(PROBLEM, content);
        responses.insert("403".to_owned(), refusal.build().into());
    }
}

/// A heading that operations stand under, and what it is about.
pub type Group = (&'static str, &'static str);

/// The document of one worker.
pub struct Document {
    info: InfoBuilder,
    groups: &'static [Group],
    ways: Vec<&'static str>,
    components: ComponentsBuilder,
    schemas: BTreeMap<String, RefOr<Schema>>,
    paths: BTreeMap<String, PathItem>,
}

impl Document {
    /// A document without a route. Every route takes any of these credentials, unless it says something else.
    pub fn new(
        title: &str,
        description: &str,
        groups: &'static [Group],
        ways: &[&'static str],
        schemes: impl IntoIterator<Item = (&'static str, SecurityScheme)>,
    ) -> Self {
        let components = schemes.into_iter().fold(ComponentsBuilder::new(), |components, (name, scheme)| {
            components.security_scheme(name, scheme)
        });
        Self {
            info: InfoBuilder::new().title(title).version("1").description(Some(description)),
            groups,
            ways: ways.to_vec(),
            components,
            schemas: BTreeMap::new(),
            paths: BTreeMap::new(),
        }
    }

    /// Adds a route. Of a method that OpenAPI has no place for nothing is said.
    #[must_use]
    pub fn route(mut self, method: &Method, path: &str, operation: Operation) -> Self {
        let method = match method.as_str() {
            "GET" => HttpMethod::Get,
            "POST" => HttpMethod::Post,
            "PUT" => HttpMethod::Put,
            "PATCH" => HttpMethod::Patch,
            "DELETE" => HttpMethod::Delete,
            _ => return self,
        };
        let Operation { operation, answer_bytes_max, ways, scope, body, named } = operation;
        let bound = Extensions::from_iter([(ANSWER_BYTES_MAX_NAME, answer_bytes_max)]);
        let mut operation = operation.extensions(Some(bound));
        if !body.is_empty() {
            let whole = RequestBodyBuilder::new().required(Some(Required::True));
            let whole = body
                .into_iter()
                .fold(whole, |whole, (content_type, content)| whole.content(content_type, content));
            operation = operation.request_body(Some(whole.build()));
        }
        if ways.is_some() || scope.is_some() {
            let ways = ways.unwrap_or_else(|| self.ways.clone());
            operation = operation.securities(Some(ways.iter().map(|way| requirement(way, scope))));
        }
        let mut operation = operation.build();
        if let Some(scope) = scope {
            describe_scope(&mut operation, scope);
        }
        for (name, schema) in named {
            // The document is made of what is compiled in, so a name that is used twice is found by any test that makes it.
            let earlier = self.schemas.get(&name);
            debug_assert!(
                earlier.is_none_or(|earlier| *earlier == schema),
                "the schema {name} has two meanings"
            );
            self.schemas.insert(name, schema);
        }
        self.paths.entry(path.to_owned()).or_default().merge_operations(PathItem::new(method, operation));
        self
    }

    /// The document.
    pub fn build(self) -> OpenApi {
        let paths =
            self.paths.into_iter().fold(PathsBuilder::new(), |paths, (path, item)| paths.path(path, item));
        let components = self.components.schemas_from_iter(self.schemas);
        let groups = self
            .groups
            .iter()
            .map(|(name, about)| TagBuilder::new().name(*name).description(Some(*about)).build());
        OpenApiBuilder::new()
            .info(self.info)
            .paths(paths)
            .components(Some(components.build()))
            .security(Some(self.ways.iter().map(|way| requirement(way, None))))
            .tags(Some(groups))
            .build()
    }

    /// The document as text, in the form that is kept with the code.
    pub fn to_json(self) -> String {
        // A document is objects, lists and texts, which always serialize.
        let mut text = self.build().to_pretty_json().unwrap_or_default();
        text.push('\n');
        text
    }
}
