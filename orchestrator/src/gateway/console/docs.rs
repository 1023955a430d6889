//! The API as a page: the same as the document, for people.

use super::{
    super::{
        Gateway, openapi,
        problem::{Code, Problem},
        routes::{Access, Gives, Route, routes},
        shape::{Field, Holds},
    },
    Visit,
    frame::{self, Frame, system_name},
};
use askama::Template;
use std::sync::Arc;
use warp::reply::Response;

#[derive(Template)]
#[template(path = "docs.html")]
struct Page {
    frame: Frame,
    parts: Vec<Part>,
    codes: &'static [Code],
}

struct Part {
    name: &'static str,
    title: String,
    routes: Vec<Shown>,
}

struct Shown {
    anchor: String,
    method: String,
    path: &'static str,
    about: &'static str,
    who: String,
    query: Vec<Field>,
    body: &'static [Field],
    gives: String,
    fields: Vec<&'static Field>,
    codes: Vec<Code>,
    curl: String,
}

pub(super) fn show(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let mut parts: Vec<Part> = Vec::new();
    for route in routes() {
        let name = route.part();
        if parts.last().is_none_or(|part| part.name != name) && parts.iter().all(|part| part.name != name) {
            let title = match system_name(name) {
                "Another system" => format!("/{name}"),
                known => known.to_owned(),
            };
            parts.push(Part { name, title, routes: Vec::new() });
        }
        if let Some(part) = parts.iter_mut().find(|part| part.name == name) {
            part.routes.push(shown(route));
        }
    }
    frame::render(&Page { frame: Frame::of(gateway, visit, "API"), parts, codes: Code::ALL })
}

fn shown(route: &'static Route) -> Shown {
    let (gives, fields) = match route.gives {
        Gives::Nothing => ("nothing".to_owned(), Vec::new()),
        Gives::One(shape) | Gives::Row(shape) => (shape.name.to_owned(), shape.all()),
        Gives::Page(name, shape) => (format!("a page: {{ \"{name}\": [{}], \"next\": … }}", shape.name), shape.all()),
        Gives::Events(shape) => (format!("server-sent events, each a {}", shape.name), shape.all()),
    };
    let who = match route.access {
        Access::SignedIn => "whoever is signed in".to_owned(),
        Access::Any(roles) => roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or "),
    };
    Shown {
        anchor: openapi::operation_id(route),
        method: route.method.to_string(),
        path: route.path,
        about: route.about,
        who,
        query: openapi::query(route),
        body: route.body,
        gives: format!("{}: {gives}", route.statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ")),
        fields,
        codes: route.codes(),
        curl: openapi::curl(route),
    }
}

/// What a field holds, in a word.
fn kind(field: &Field) -> String {
    let kind = match field.kind {
        Holds::Text(_) => "text".to_owned(),
        Holds::Choice(of) => of.join(" | "),
        Holds::Number => "number from 1".to_owned(),
        Holds::Amount => "minor units".to_owned(),
        Holds::Count => "number".to_owned(),
        Holds::Flag => "true | false".to_owned(),
        Holds::Id => "UUID".to_owned(),
        Holds::Moment => "moment".to_owned(),
        Holds::One(shape) => shape.name.to_owned(),
        Holds::List(shape) => format!("list of {}", shape.name),
        Holds::Ids => "list of UUIDs".to_owned(),
        Holds::Texts => "list of texts".to_owned(),
        Holds::Texted => "names with texts".to_owned(),
        Holds::Moments => "names with moments".to_owned(),
        Holds::Anything => "JSON".to_owned(),
    };
    if field.null { format!("{kind}, or null") } else { kind }
}
