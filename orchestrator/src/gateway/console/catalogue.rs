//! Catalogue: what can be booked, for those who keep it.

use super::{
    super::{
        Gateway,
        inside::{Answer, Ask},
        problem::{Code, Problem},
        routes::Route,
        shape::{Field, Holds},
        systems::{self, Shelf, System},
    },
    Visit,
    forms::{Input, body, inputs, wrong},
    frame::{self, Frame, label, moment, shelves, system_name},
    inbox::Told,
    lists, see_other,
};
use askama::Template;
use chrono_tz::Tz;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use warp::{http::Method, reply::Response};

#[derive(Template)]
#[template(path = "catalogue.html")]
struct Page {
    frame: Frame,
    system: &'static str,
    name: &'static str,
    systems: Vec<(&'static str, &'static str)>,
    columns: Vec<String>,
    items: Vec<Item>,
    next: Option<String>,
    /// May they register something here?
    keeps: bool,
    inputs: Vec<Input>,
    trouble: Option<String>,
}

struct Item {
    number: String,
    title: String,
    cells: Vec<String>,
    /// The fields that may be changed; none where nothing may.
    inputs: Vec<Input>,
    may_remove: bool,
    /// Why the last change was refused.
    trouble: Option<String>,
}

/// The route of a shelf with this method: of the shelf itself, or of one item.
fn route(system: &'static System, shelf: &Shelf, method: &Method, item: bool) -> Option<&'static Route> {
    let path = if item { format!("{}/{{item}}", shelf.path) } else { shelf.path.to_owned() };
    system.routes.iter().find(|route| route.path == path && route.method == *method)
}

fn chosen(visit: &Visit) -> Result<(&'static System, &'static Shelf), Problem> {
    let system = systems::named(visit.parameter(0));
    let chosen = system.and_then(|system| Some((system, system.shelf.as_ref()?)));
    chosen.ok_or_else(|| Problem::new(Code::NoSuchPath))
}

pub(super) async fn show(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    page(gateway, visit, None, None).await
}

/// The page; with what was refused at registering, or about one item.
async fn page(
    gateway: &Arc<Gateway>,
    visit: &Visit,
    refused: Option<&Answer>,
    refused_item: Option<(&str, &Answer)>,
) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let (system, shelf) = chosen(visit)?;
    let listed = Ask::get(caller, shelf.path).query("cursor", visit.asked("cursor")).fetch(gateway).await?;
    let may = |method: &Method, item: bool| {
        route(system, shelf, method, item).filter(|route| route.access.admit(caller).is_ok())
    };
    let register = may(&Method::POST, false);
    let (change, remove) = (may(&Method::PATCH, true), may(&Method::DELETE, true));
    // Whose it is and what it is called have places of their own.
    let hidden = [shelf.number, shelf.title];
    let shape = match route(system, shelf, &Method::GET, false).map(|route| route.gives) {
        Some(super::super::routes::Gives::Page(_, shape)) => shape.all(),
        _ => Vec::new(),
    };
    let columns: Vec<&Field> = shape.into_iter().filter(|field| !hidden.contains(&field.name)).take(6).collect();
    let none = BTreeMap::new();
    let items = listed[shelf.list].as_array().into_iter().flatten().map(|item| {
        let number = cell(&item[shelf.number]);
        let filled: BTreeMap<String, String> =
            item.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), cell(value))).collect();
        let refused = refused_item.filter(|(refused, _)| *refused == number).map(|(_, answer)| answer);
        Item {
            title: cell(&item[shelf.title]),
            cells: columns.iter().map(|field| written(field, &item[field.name], gateway.zone)).collect(),
            inputs: change.map_or_else(Vec::new, |route| inputs(route, &filled, refused.and_then(wrong))),
            may_remove: remove.is_some(),
            trouble: refused.map(Answer::why),
            number,
        }
    });
    let filled = if refused.is_some() { &visit.form } else { &none };
    let page = Page {
        frame: Frame::of(gateway, visit, "Catalogue"),
        system: system.name,
        name: system_name(system.name),
        systems: shelves(caller).map(|system| (system.name, system_name(system.name))).collect(),
        items: items.collect(),
        columns: columns.iter().map(|field| label(field.name)).collect(),
        next: lists::next(&listed),
        keeps: register.is_some(),
        inputs: register.map_or_else(Vec::new, |route| inputs(route, filled, refused.and_then(wrong))),
        trouble: refused.map(Answer::why),
    };
    frame::render(&page)
}

/// A value as people read it.
fn written(field: &Field, value: &Value, zone: Tz) -> String {
    match field.kind {
        Holds::Moment => moment(value, zone).map(|moment| moment.text).unwrap_or_default(),
        _ => cell(value),
    }
}

/// A value as it is filled in.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn done(system: &System, what: &str) -> Response {
    see_other(&Told::Done(what).on(&format!("/console/catalogue/{}", system.name)))
}

pub(super) async fn register(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let (system, shelf) = chosen(visit)?;
    let answer = Ask::new(caller, Method::POST, shelf.path)
        .body(Value::Object(body(&visit.form, &["once"])))
        .answer(gateway)
        .await;
    if answer.status.is_success() {
        Ok(done(system, "registered"))
    } else {
        page(gateway, visit, Some(&answer), None).await
    }
}

pub(super) async fn change(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    on_item(gateway, visit, Method::PATCH, Some(Value::Object(body(&visit.form, &["once"]))), "changed").await
}

pub(super) async fn remove(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    on_item(gateway, visit, Method::DELETE, None, "removed").await
}

async fn on_item(
    gateway: &Arc<Gateway>,
    visit: &Visit,
    method: Method,
    body: Option<Value>,
    what: &str,
) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let (system, shelf) = chosen(visit)?;
    let item = visit.parameter(1);
    let mut ask = Ask::new(caller, method, format!("{}/{item}", shelf.path));
    if let Some(body) = body {
        ask = ask.body(body);
    }
    let answer = ask.answer(gateway).await;
    if answer.status.is_success() {
        Ok(done(system, what))
    } else {
        page(gateway, visit, None, Some((item, &answer))).await
    }
}
