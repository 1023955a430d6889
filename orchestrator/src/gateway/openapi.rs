//! The published description of the API (`OpenAPI` 3.1), made from the routes and their shapes: what stands here is what is
//! served, and a test holds every answer of every suite against it.

use super::{
    auth::Role,
    call::{PAGE_MAX, WAIT_SECONDS_MAX},
    problem::Code,
    routes::{Access, Gives, Route, routes},
    shape::{Field, Holds, Shape},
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};
use warp::http::{Method, StatusCode};
use workflows::money::AMOUNT_MAX_MINOR;

/// The whole document, as text.
pub(super) static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// What any route may refuse a request for: who asks, how often, how long a path; and what is away.
const ANY: &[Code] = &[
    Code::InvalidField,
    Code::Unauthenticated,
    Code::PathTooLong,
    Code::RateLimited,
    Code::TooBusy,
    Code::Unavailable,
];
/// What one that reads a body may refuse it for.
const WITH_BODY: &[Code] = &[Code::MalformedBody, Code::UnsupportedMediaType];
/// What one that gets a body may refuse it for, also where it reads none.
const SENT_BODY: &[Code] = &[Code::MalformedBody, Code::BodyTooLarge, Code::SlowBody];

impl Route {
    /// Every code it may refuse a request with.
    #[must_use]
    pub fn codes(&self) -> Vec<Code> {
        let closed: &[Code] =
            if self.access == Access::SignedIn && self.method == Method::GET { &[] } else { &[Code::Forbidden] };
        let sent: &[Code] = if self.method == Method::GET { &[] } else { SENT_BODY };
        let body: &[Code] = if self.body.is_empty() { &[] } else { WITH_BODY };
        let mut codes: Vec<Code> = Vec::new();
        for code in [ANY, closed, sent, body].iter().chain(self.refuses).copied().flatten() {
            if !codes.contains(code) {
                codes.push(*code);
            }
        }
        codes
    }

    /// The system or the part it belongs to.
    #[must_use]
    pub fn part(&self) -> &'static str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    /// Is it where bookings begin?
    const fn is_a_beginning(&self) -> bool {
        matches!((self.statuses.first(), self.gives), (Some(201), Gives::Row(_)))
    }
}

fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut shapes = BTreeMap::new();
    for route in routes() {
        let operation = operation(route, &mut shapes);
        paths.entry(route.path).or_default().insert(route.method.as_str().to_lowercase(), operation);
    }
    let schemas: Map<String, Value> = shapes.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut components = json!({
        "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
    });
    components["schemas"] = Value::Object(schemas);
    components["schemas"]["Problem"] = json!({
        "type": "object",
        "description": "Why a request was refused (RFC 9457). Some codes come with members of their own.",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "code": { "type": "string", "enum": Code::ALL.iter().map(|code| code.text()).collect::<Vec<_>>() },
            "detail": { "type": "string" },
            "field": { "type": "string" },
            "expected": { "type": "string" },
        },
    });
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Holdfast",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Bookings of six systems. Ask with a bearer token. A request that is repeated with its \
                Idempotency-Key is the same request. Every refusal is a problem document with a stable code.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": components,
    })
}

type Shapes = BTreeMap<&'static str, Value>;

fn operation(route: &'static Route, shapes: &mut Shapes) -> Value {
    let mut parameters: Vec<Value> = path_parameters(route.path);
    parameters.extend(query(route).iter().map(|field| parameter(field, "query", shapes)));
    parameters.extend(headers(route));
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [route.part()],
        "summary": route.about,
        "description": who(route.access),
        "parameters": parameters,
        "responses": responses(route, shapes),
    });
    if !route.body.is_empty() {
        let fields: Vec<&Field> = route.body.iter().collect();
        let schema = object(&fields, Way::Sent, shapes);
        operation["requestBody"] = json!({
            "required": !route.body_optional,
            "content": { "application/json": { "schema": schema, "example": example(&fields) } },
        });
    }
    operation
}

/// `GET /ebook/books/{item}` as `get_ebook_books_item`.
pub(super) fn operation_id(route: &Route) -> String {
    let words = route.path.split('/').filter(|part| !part.is_empty()).map(|part| part.trim_matches(['{', '}']));
    let words: Vec<&str> = words.collect();
    format!("{}_{}", route.method.as_str().to_lowercase(), words.join("_"))
}

fn who(access: Access) -> String {
    match access {
        Access::SignedIn => "For whoever is signed in; what they see depends on who they are.".to_owned(),
        Access::Any(roles) => {
            let names: Vec<&str> = roles.iter().copied().map(Role::as_str).collect();
            format!("For these roles: {}.", names.join(", "))
        }
    }
}

fn path_parameters(path: &'static str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let shown = names.map(|name| {
        let (about, schema, example) = match name {
            "item" | "letter" => ("Its number.", json!({ "type": "string" }), "1"),
            "match" => ("Its id, or your own reference.", json!({ "type": "string" }), "17"),
            "word" => ("What is said; the inbox says what may be.", json!({ "type": "string" }), "approve"),
            "move" => ("The move.", json!({ "type": "string", "enum": ["retry", "resolve", "write-off", "skip"] }), "retry"),
            _ => ("Its id.", json!({ "type": "string" }), "0199b0a1-7c3e-7d0e-9a51-2f6a3c1b7e42"),
        };
        json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema, "example": example })
    });
    shown.collect()
}

/// What may stand in a route's query.
#[must_use]
pub(super) fn query(route: &Route) -> Vec<Field> {
    let mut query = route.query.to_vec();
    match route.gives {
        Gives::Page(..) => {
            query.push(Field::text_to(80, "cursor", "The `next` of the page before.", ""));
            query.push(Field::number("limit", "How many at most, up to 100; usually 50.", "50"));
        }
        Gives::Row(_) if route.method == Method::GET => {
            query.push(Field::count("version", "Waits until the booking has come as far.", "1"));
        }
        _ => {}
    }
    query
}

fn headers(route: &Route) -> Vec<Value> {
    let header = |name: &str, about: String| json!({ "name": name, "in": "header", "required": false, "description": about, "schema": { "type": "string" } });
    let wait = || header("Prefer", format!("`wait=N`: up to N seconds of patience, at most {WAIT_SECONDS_MAX}."));
    let key =
        || header("Idempotency-Key", "Makes a repeat the same request: 1 to 200 visible ASCII characters.".to_owned());
    let known = || header("If-None-Match", "The ETag you have: 304 while nothing has changed.".to_owned());
    let only = || header("If-Match", "The ETag you decide on: 412 when the booking has moved on.".to_owned());
    match (route.gives, &route.method) {
        (Gives::Row(_), &Method::GET) => vec![known(), wait()],
        _ if route.is_a_beginning() => vec![key(), wait()],
        _ if route.moves_one() => vec![key(), only()],
        (Gives::One(_), &Method::POST) => vec![key()],
        (Gives::Events(_), _) => vec![header("Last-Event-ID", "The last event you have.".to_owned())],
        _ => Vec::new(),
    }
}

fn parameter(field: &Field, place: &str, shapes: &mut Shapes) -> Value {
    json!({
        "name": field.name, "in": place, "required": field.needed, "description": field.about,
        "schema": schema(field, Way::Answered, shapes),
    })
}

fn responses(route: &'static Route, shapes: &mut Shapes) -> Value {
    let mut responses = Map::new();
    for status in route.statuses {
        let mut response = json!({ "description": description(route, *status) });
        if *status != StatusCode::NO_CONTENT
            && let Some((kind, schema, example)) = content(route, shapes)
        {
            let mut content = json!({ "schema": schema });
            if let Some(example) = example {
                content["example"] = example;
            }
            response["content"] = json!({ kind: content });
        }
        if matches!(route.gives, Gives::Row(_)) {
            let tag = json!({ "description": "The booking's version, quoted.", "schema": { "type": "string" } });
            response["headers"] = json!({ "ETag": tag });
        }
        responses.insert(status.to_string(), response);
    }
    if matches!(route.gives, Gives::Row(_)) && route.method == Method::GET {
        responses.insert("304".to_owned(), json!({ "description": "Nothing has changed since the ETag you have." }));
    }
    let mut refusals: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    for code in route.codes() {
        refusals.entry(code.status().as_u16()).or_default().insert(code.text());
    }
    for (status, codes) in refusals {
        let titles = Code::ALL.iter().filter(|code| codes.contains(code.text())).map(|code| code.title());
        let titles: Vec<&str> = titles.collect();
        let schema = json!({
            "allOf": [{ "$ref": "#/components/schemas/Problem" }, { "properties": { "code": { "enum": codes } } }],
        });
        responses.insert(
            status.to_string(),
            json!({ "description": titles.join(" "), "content": { "application/problem+json": { "schema": schema } } }),
        );
    }
    Value::Object(responses)
}

fn description(route: &Route, status: u16) -> &'static str {
    match status {
        201 => "Made, or made before under the same key.",
        202 if route.is_a_beginning() => "Taken: it is not decided yet, and will be in order. See Location.",
        202 => "Heard: its effect waits for a worker.",
        204 => "Done.",
        _ => "The answer.",
    }
}

fn content(route: &'static Route, shapes: &mut Shapes) -> Option<(&'static str, Value, Option<Value>)> {
    match route.gives {
        Gives::Nothing => None,
        Gives::One(shape) | Gives::Row(shape) => {
            Some(("application/json", reference(shape, shapes), Some(example(&shape.all()))))
        }
        Gives::Page(name, shape) => {
            let items = json!({ "type": "array", "items": reference(shape, shapes), "maxItems": 200 });
            let next = json!({ "type": ["integer", "string", "null"], "description": "The cursor of the next page." });
            let schema = json!({
                "type": "object", "required": [name, "next"], "additionalProperties": false,
                "properties": { name: items, "next": next },
            });
            Some(("application/json", schema, Some(json!({ name: [example(&shape.all())], "next": null }))))
        }
        Gives::Events(shape) => {
            reference(shape, shapes);
            Some(("text/event-stream", json!({ "type": "string" }), None))
        }
    }
}

fn reference(shape: &'static Shape, shapes: &mut Shapes) -> Value {
    if !shapes.contains_key(shape.name) {
        shapes.insert(shape.name, Value::Null);
        let schema = object(&shape.all(), Way::Answered, shapes);
        shapes.insert(shape.name, schema);
    }
    json!({ "$ref": format!("#/components/schemas/{}", shape.name) })
}

/// Which way an object goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To us: numbers may come as their digits.
    Sent,
    /// From us.
    Answered,
}

/// An object with these fields and no others, unless one stands for whatever else there is.
fn object(fields: &[&Field], way: Way, shapes: &mut Shapes) -> Value {
    let named = fields.iter().filter(|field| field.name != "...");
    let properties: Map<String, Value> =
        named.clone().map(|field| (field.name.to_owned(), schema(field, way, shapes))).collect();
    let required = named.filter(|field| match way {
        Way::Sent => field.needed,
        Way::Answered => !field.null,
    });
    let required: Vec<&str> = required.map(|field| field.name).collect();
    // What else a request holds is not read; an answer holds nothing else.
    let others = way == Way::Sent || fields.iter().any(|field| field.name == "...");
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": others })
}

fn schema(field: &Field, way: Way, shapes: &mut Shapes) -> Value {
    let mut schema = match field.kind {
        Holds::Text(max) => json!({ "type": "string", "maxLength": max }),
        Holds::Choice(of) => json!({ "type": "string", "enum": of }),
        Holds::Number => json!({ "type": "integer", "minimum": 1 }),
        Holds::Amount => json!({ "type": "integer", "minimum": 0, "maximum": AMOUNT_MAX_MINOR }),
        Holds::Count => json!({ "type": "integer" }),
        Holds::Flag => json!({ "type": "boolean" }),
        Holds::Id => json!({ "type": "string", "format": "uuid" }),
        Holds::Moment => json!({ "type": "string", "format": "date-time" }),
        Holds::One(shape) => reference(shape, shapes),
        Holds::List(shape) => json!({ "type": "array", "items": reference(shape, shapes) }),
        Holds::Ids => json!({
            "type": "array", "minItems": 1, "maxItems": PAGE_MAX, "items": { "type": "string", "format": "uuid" },
        }),
        Holds::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Holds::Texted => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Holds::Moments => {
            json!({ "type": "object", "additionalProperties": { "type": "string", "format": "date-time" } })
        }
        Holds::Anything => json!({}),
    };
    if way == Way::Sent && schema["type"] == "integer" {
        schema = json!({ "anyOf": [schema, { "type": "string", "pattern": "^[0-9]{1,18}$" }] });
    }
    if field.null {
        schema = match (schema.get("type").cloned(), schema.get("enum").cloned()) {
            (Some(Value::String(kind)), None) => {
                schema["type"] = json!([kind, "null"]);
                schema
            }
            _ if schema.as_object().is_some_and(Map::is_empty) => schema,
            _ => json!({ "anyOf": [schema, { "type": "null" }] }),
        };
    }
    schema["description"] = json!(field.about);
    schema
}

fn example(fields: &[&Field]) -> Value {
    let named = fields.iter().filter(|field| field.name != "...");
    Value::Object(named.map(|field| (field.name.to_owned(), sample(field))).collect())
}

/// How a field may look.
fn sample(field: &Field) -> Value {
    match field.kind {
        Holds::Number | Holds::Amount | Holds::Count => json!(field.example.parse::<i64>().unwrap_or_default()),
        Holds::Flag => json!(true),
        Holds::One(shape) => example(&shape.all()),
        Holds::List(shape) => json!([example(&shape.all())]),
        Holds::Ids => json!(["0199b0a1-7c3e-7d0e-9a51-2f6a3c1b7e42"]),
        Holds::Texts => json!([]),
        Holds::Texted | Holds::Moments => json!({}),
        Holds::Anything => Value::Null,
        Holds::Text(_) | Holds::Choice(_) | Holds::Id | Holds::Moment => json!(field.example),
    }
}

/// A request to try, as it is typed.
#[must_use]
pub(super) fn curl(route: &Route) -> String {
    let path = route.path.split('/').map(|part| match part {
        "{item}" | "{letter}" => "1",
        "{word}" => "approve",
        "{move}" => "retry",
        part if part.starts_with('{') => "$ID",
        part => part,
    });
    let path = path.collect::<Vec<_>>().join("/");
    let method = if route.method == Method::GET { String::new() } else { format!("-X {} ", route.method) };
    let body = if route.body.is_empty() {
        String::new()
    } else {
        let needed: Vec<&Field> = route.body.iter().filter(|field| field.needed).collect();
        format!(" \\\n  --json '{}'", example(&needed))
    };
    format!("curl {method}http://127.0.0.1:8080{path} -H \"authorization: Bearer $TOKEN\"{body}")
}
