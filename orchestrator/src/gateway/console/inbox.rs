//! Inbox: what waits for somebody, and what they may say to it. One click, one effect.

use super::{
    super::{
        Gateway,
        auth::Caller,
        inside::{Answer, Ask},
        problem::Problem,
        systems,
    },
    Visit,
    forms::body,
    frame::{self, Frame, Line, label, left, words},
    lists, see_other,
    session::back,
};
use askama::Template;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use warp::{
    http::{Method, StatusCode},
    reply::Response,
};
use workflows::saga::BECAUSE;

#[derive(Template)]
#[template(path = "inbox.html")]
struct Page {
    frame: Frame,
    entries: Vec<Entry>,
    next: Option<String>,
}

struct Entry {
    line: Line,
    left: Option<String>,
    says: Vec<Say>,
}

/// A word as a form.
pub(super) struct Say {
    pub word: String,
    pub label: String,
    /// Does it turn the booking back?
    pub stern: bool,
    pub fields: Vec<Added>,
}

/// What comes with a word.
pub(super) struct Added {
    pub name: String,
    pub label: String,
    pub needed: bool,
    /// What may be chosen, where it is something of the catalogue.
    pub options: Vec<(String, String)>,
}

pub(super) async fn show(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let inbox = Ask::get(caller, "/inbox").query("cursor", visit.asked("cursor")).fetch(gateway).await?;
    let mut items = BTreeMap::new();
    let mut entries = Vec::new();
    for booking in inbox["bookings"].as_array().into_iter().flatten() {
        entries.push(Entry {
            line: Line::of(booking, gateway.zone),
            left: booking["seconds_left"].as_i64().map(left),
            says: says(gateway, caller, booking, &mut items).await,
        });
    }
    let page = Page { frame: Frame::of(gateway, visit, "Inbox"), entries, next: lists::next(&inbox) };
    frame::render(&page)
}

/// The items of the systems that were asked for, so that each is asked for once.
pub(super) type Items = BTreeMap<String, Vec<(String, String)>>;

/// What may be said to a booking, as the inbox shows it.
pub(super) async fn says(gateway: &Arc<Gateway>, caller: &Caller, booking: &Value, items: &mut Items) -> Vec<Say> {
    let system = booking["system"].as_str().unwrap_or_default();
    let mut says = Vec::new();
    for may in booking["may"].as_array().into_iter().flatten() {
        let word = may["say"].as_str().unwrap_or_default().to_owned();
        let names = |list: &str| {
            let names = may[list].as_array().into_iter().flatten().filter_map(Value::as_str);
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let mut fields = Vec::new();
        for (name, needed) in
            names("with").into_iter().map(|name| (name, true)).chain(names("may").into_iter().map(|name| (name, false)))
        {
            let of_catalogue = systems::named(system)
                .and_then(|system| system.shelf.as_ref())
                .is_some_and(|shelf| shelf.wanted == name);
            let options = if of_catalogue { options(gateway, caller, system, items).await } else { Vec::new() };
            let label = if name == BECAUSE { "Reason".to_owned() } else { label(&name) };
            fields.push(Added { name, label, needed, options });
        }
        let stern = word == "reject";
        says.push(Say { label: words(&word), word, stern, fields });
    }
    says
}

/// A system's items, by number and name.
pub(super) async fn options(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    system: &str,
    items: &mut Items,
) -> Vec<(String, String)> {
    if let Some(known) = items.get(system) {
        return known.clone();
    }
    let listed = match systems::named(system).and_then(|system| system.shelf.as_ref()) {
        None => Vec::new(),
        Some(shelf) => {
            let page = Ask::get(caller, shelf.path).query("limit", "100").answer(gateway).await.body;
            let items = page[shelf.list].as_array().cloned().unwrap_or_default();
            let named = items.iter().map(|item| {
                (item[shelf.number].to_string(), item[shelf.title].as_str().unwrap_or_default().to_owned())
            });
            named.collect()
        }
    };
    items.insert(system.to_owned(), listed.clone());
    listed
}

/// Passes a word on, and goes back to where it was said.
pub(super) async fn say(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let word = visit.parameter(0);
    let mut body = body(&visit.form, &["booking", "back"]);
    body.insert("bookings".to_owned(), json!([visit.said("booking")]));
    let answer =
        Ask::new(caller, Method::POST, format!("/inbox/{word}")).body(Value::Object(body)).answer(gateway).await;
    // What came of this one; or why the word was not even passed on.
    let outcome = &answer.body["outcomes"][0];
    let told = match outcome["code"].as_str() {
        Some(code) => Told::Refused(code),
        None if outcome["status"] == StatusCode::ACCEPTED.as_u16() => Told::Heard(word),
        None => Told::of(word, &answer),
    };
    Ok(see_other(&told.on(back(visit.said("back")))))
}

/// What came of a form.
pub(super) enum Told<'a> {
    Done(&'a str),
    /// It was heard; its effect does not show yet.
    Heard(&'a str),
    Refused(&'a str),
}

impl<'a> Told<'a> {
    /// What the API answered to a word.
    pub(super) fn of(word: &'a str, answer: &'a Answer) -> Self {
        match answer.body["code"].as_str() {
            Some(code) => Self::Refused(code),
            None if answer.status == StatusCode::ACCEPTED => Self::Heard(word),
            None => Self::Done(word),
        }
    }

    /// Where to go back to, with what came of it.
    pub(super) fn on(&self, back: &str) -> String {
        let told = match self {
            Self::Done(word) => ("done", word),
            Self::Heard(word) => ("heard", word),
            Self::Refused(code) => ("refused", code),
        };
        let told = serde_urlencoded::to_string([told]).unwrap_or_default();
        let (path, query) = back.split_once('?').unwrap_or((back, ""));
        // What came of the last one is no news.
        let old = |pair: &str| ["done=", "heard=", "refused="].iter().any(|name| pair.starts_with(name));
        let kept = query.split('&').filter(|pair| !pair.is_empty() && !old(pair));
        let query: Vec<&str> = kept.chain([told.as_str()]).collect();
        format!("{path}?{}", query.join("&"))
    }
}
