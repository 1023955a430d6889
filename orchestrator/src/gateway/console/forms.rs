//! Forms: what a route takes, as fields to fill in. And the one that asks for a booking.

use super::{
    super::{
        Gateway,
        auth::Caller,
        inside::{Answer, Ask},
        problem::{Code, Problem},
        routes::Route,
        shape::{Field, Holds},
        systems::{self, SYSTEMS, System},
    },
    Visit,
    frame::{self, Frame, label, system_name},
    inbox::{Items, options},
    see_other,
    session::CONFIRMATION,
};
use askama::Template;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;
use warp::{http::Method, reply::Response};

/// A field of a form.
pub(super) struct Input {
    pub name: &'static str,
    pub label: String,
    pub about: &'static str,
    pub example: &'static str,
    pub needed: bool,
    pub kind: &'static str,
    pub max: u16,
    pub value: String,
    /// What may be chosen: value and label.
    pub options: Vec<(String, String)>,
    /// Is this what was wrong?
    pub wrong: bool,
}

/// The fields of a route, with what was filled in.
pub(super) fn inputs(route: &'static Route, filled: &BTreeMap<String, String>, wrong: Option<&str>) -> Vec<Input> {
    let fields = route.body.iter().filter(|field| field.name != "...");
    fields.map(|field| input(field, filled.get(field.name).cloned().unwrap_or_default(), wrong)).collect()
}

fn input(field: &'static Field, value: String, wrong: Option<&str>) -> Input {
    let (kind, max, options) = match field.kind {
        Holds::Number | Holds::Amount | Holds::Count => ("number", 0, Vec::new()),
        Holds::Choice(of) => ("choice", 0, of.iter().map(|one| ((*one).to_owned(), (*one).to_owned())).collect()),
        Holds::Text(max) => ("text", max, Vec::new()),
        _ => ("text", 200, Vec::new()),
    };
    let Field { name, about, example, needed, .. } = *field;
    Input {
        name,
        label: label(name),
        about,
        example,
        needed,
        kind,
        max,
        value,
        options,
        wrong: wrong == Some(field.name),
    }
}

/// What was filled in, as the API takes it, but for what is between the page and us: what is empty is not said.
pub(super) fn body(form: &BTreeMap<String, String>, ours: &[&str]) -> Map<String, Value> {
    let is_ours = |name: &str| name == CONFIRMATION || ours.contains(&name);
    let said = form.iter().filter(|(name, value)| !value.trim().is_empty() && !is_ours(name));
    said.map(|(name, value)| (name.clone(), json!(value.trim()))).collect()
}

/// The field that a refusal is about.
pub(super) fn wrong(answer: &Answer) -> Option<&str> {
    answer.body["field"].as_str()
}

#[derive(Template)]
#[template(path = "new.html")]
struct Page {
    frame: Frame,
    system: &'static str,
    name: &'static str,
    about: &'static str,
    systems: Vec<(&'static str, &'static str)>,
    inputs: Vec<Input>,
    once: String,
    trouble: Option<String>,
}

pub(super) async fn show(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    // What somebody chose elsewhere is filled in already.
    page(gateway, visit, &visit.query, None).await
}

fn chosen(visit: &Visit) -> Result<(&'static System, &'static Route), Problem> {
    let system = systems::named(visit.parameter(0)).ok_or_else(|| Problem::new(Code::NoSuchPath))?;
    let route = system.routes.iter().find(|route| route.path == system.order && route.method == Method::POST);
    Ok((system, route.ok_or_else(|| Problem::new(Code::NoSuchPath))?))
}

async fn page(
    gateway: &Arc<Gateway>,
    visit: &Visit,
    filled: &BTreeMap<String, String>,
    refused: Option<&Answer>,
) -> Result<Response, Problem> {
    let caller: &Caller = &visit.session()?.caller;
    let (system, route) = chosen(visit)?;
    route.access.admit(caller)?;
    let mut inputs = inputs(route, filled, refused.and_then(wrong));
    if let Some(shelf) = &system.shelf
        && let Some(input) = inputs.iter_mut().find(|input| input.name == shelf.wanted)
    {
        input.options = options(gateway, caller, system.name, &mut Items::new()).await;
        input.kind = "choice";
    }
    let page = Page {
        frame: Frame::of(gateway, visit, "New booking"),
        system: system.name,
        name: system_name(system.name),
        about: route.about,
        systems: SYSTEMS.iter().map(|system| (system.name, system_name(system.name))).collect(),
        inputs,
        // A form that is sent twice asks once.
        once: filled.get("once").cloned().unwrap_or_else(|| Uuid::now_v7().to_string()),
        trouble: refused.map(Answer::why),
    };
    frame::render(&page)
}

pub(super) async fn book(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let (system, _) = chosen(visit)?;
    let ask = Ask::new(caller, Method::POST, system.order)
        .body(Value::Object(body(&visit.form, &["once"])))
        .key(visit.said("once"));
    let answer = ask.answer(gateway).await;
    let made = ["id", "booking"].iter().find_map(|name| answer.body[*name].as_str());
    match made {
        Some(id) if answer.status.is_success() => Ok(see_other(&format!("/console/bookings/{id}"))),
        _ => {
            let mut filled = visit.form.clone();
            // What was refused may be asked for anew. Where nobody knows whether it was, it stays the same request.
            if !answer.status.is_server_error() {
                filled.remove("once");
            }
            page(gateway, visit, &filled, Some(&answer)).await
        }
    }
}
