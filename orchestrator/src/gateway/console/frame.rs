//! What all pages have in common: the frame around them, and how things are written on them.

use super::{
    super::{
        Gateway,
        auth::{Caller, Role},
        problem::{Code, Problem},
        systems::{SYSTEMS, System},
    },
    Visit, text,
};
use askama::Template;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use iso_currency::Currency;
use serde_json::Value;
use std::sync::Arc;
use warp::reply::Response;
use workflows::{contracts::Move, money::Money, saga};

/// What stands around a page.
pub(super) struct Frame {
    pub title: String,
    pub who: Option<Who>,
    pub confirmation: String,
    pub notice: Option<Notice>,
    pub links: Vec<Link>,
    /// May the page be asked for again? Not the answer to a form: it would be lost.
    pub live: bool,
    /// Whose times these are.
    pub zone: &'static str,
}

/// Who is signed in.
pub(super) struct Who {
    pub subject: String,
    pub roles: String,
}

/// What came of what they did.
pub(super) struct Notice {
    pub good: bool,
    pub text: String,
}

pub(super) struct Link {
    pub path: String,
    pub label: &'static str,
    pub current: bool,
}

impl Frame {
    pub(super) fn of(gateway: &Arc<Gateway>, visit: &Visit, title: &str) -> Self {
        let session = visit.session.as_ref();
        let caller = session.map(|session| &session.caller);
        Self {
            title: title.to_owned(),
            who: caller.map(|caller| Who {
                subject: caller.subject.to_string(),
                roles: caller.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", "),
            }),
            confirmation: session.map(|session| session.confirmation.clone()).unwrap_or_default(),
            notice: notice(visit),
            links: caller.map_or_else(Vec::new, |caller| links(caller, &visit.path)),
            live: visit.form.is_empty(),
            zone: gateway.zone.name(),
        }
    }
}

fn links(caller: &Caller, path: &str) -> Vec<Link> {
    let member = caller.is_any(&[Role::Member]);
    let works = works(caller);
    let keeps = shelves(caller).next().map(|system| format!("/console/catalogue/{}", system.name));
    let new = member.then(|| format!("/console/new/{}", SYSTEMS[0].name));
    let stuck = caller.is_any(&[Role::Operator]).then(|| "/console/stuck".to_owned());
    let all = [
        (Some("/console".to_owned()), if works { "Today" } else { "My bookings" }),
        (Some("/console/inbox".to_owned()), "Inbox"),
        (works.then(|| "/console/bookings".to_owned()), "Bookings"),
        (new, "New booking"),
        (keeps, "Catalogue"),
        (stuck, "Stuck"),
    ];
    let shown = all.into_iter().filter_map(|(path, label)| Some((path?, label)));
    shown
        .map(|(there, label)| {
            // A section's pages differ in their last part.
            let section = |path: &str| path.split('/').take(3).collect::<Vec<_>>().join("/");
            let current = section(&there) == section(path);
            Link { path: there, label, current }
        })
        .collect()
}

/// Do they work here, or are they a customer?
pub(super) fn works(caller: &Caller) -> bool {
    caller.roles.iter().any(|role| *role != Role::Member)
}

/// The systems whose catalogue they may keep.
pub(super) fn shelves(caller: &Caller) -> impl Iterator<Item = &'static System> {
    SYSTEMS.iter().filter(|system| {
        let path = system.shelf.as_ref().map(|shelf| shelf.path);
        let keeps = system.routes.iter().filter(|route| Some(route.path) == path && !route.body.is_empty());
        keeps.into_iter().any(|route| route.access.admit(caller).is_ok()) || caller.sees_all() && path.is_some()
    })
}

/// What came of a form, as the address says: by names we know, so that no address puts words into our mouth.
fn notice(visit: &Visit) -> Option<Notice> {
    if let Some(code) = Code::ALL.iter().find(|code| code.text() == visit.asked("refused")) {
        return Some(Notice { good: false, text: code.title().to_owned() });
    }
    let (heard, done) = (visit.asked("heard"), visit.asked("done"));
    let said = crate::host::SAGAS.iter().flat_map(|kind| kind.turns).flatten().flat_map(|turn| turn.says);
    let known = said.map(|say| say.word).chain(
        ["cancel", "registered", "changed", "removed", "paused", "resumed"]
            .into_iter()
            .chain(Move::ALL.iter().map(|kind| kind.as_str())),
    );
    let word = known.into_iter().find(|word| *word == done || *word == heard)?;
    let text = if word == done {
        format!("Done: {}.", words(word))
    } else {
        format!("Heard: {}. It shows in a moment.", words(word))
    };
    Some(Notice { good: true, text })
}

/// Writes a page.
///
/// # Errors
/// When a template fails: a mistake of ours.
pub(super) fn render(page: &impl Template) -> Result<Response, Problem> {
    let page = page.render().map_err(|error| Problem::unavailable("the page", &error))?;
    Ok(text("text/html; charset=utf-8", page))
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct Trouble {
    frame: Frame,
    status: u16,
    why: String,
    part: Option<String>,
}

/// Shows why a page is not shown.
pub(super) fn trouble(gateway: &Arc<Gateway>, visit: &Visit, problem: Problem) -> Response {
    let status = problem.code.status();
    let frame = Frame::of(gateway, visit, problem.code.title());
    let why = problem.member("detail").and_then(Value::as_str).unwrap_or_else(|| problem.code.title()).to_owned();
    let part = problem.member("part").and_then(Value::as_str).map(str::to_owned);
    let headers = problem.into_response().headers().clone();
    let page = Trouble { frame, status: status.as_u16(), why, part };
    let Ok(mut response) = render(&page) else { return Problem::new(Code::Unavailable).into_response() };
    *response.status_mut() = status;
    // Whoever comes too often hears when to come back; a browser needs no bearer.
    if let Some(later) = headers.get("retry-after") {
        response.headers_mut().insert("retry-after", later.clone());
    }
    response
}

/// `picked_up` as `picked up`.
pub(super) fn words(name: &str) -> String {
    name.replace(['_', '-'], " ")
}

/// `bookName` as `Book name`.
pub(super) fn label(name: &str) -> String {
    let mut label = String::new();
    for letter in name.chars() {
        match letter {
            '_' | '-' => label.push(' '),
            letter if letter.is_uppercase() && !label.is_empty() => {
                label.push(' ');
                label.extend(letter.to_lowercase());
            }
            letter if label.is_empty() => label.extend(letter.to_uppercase()),
            letter => label.push(letter),
        }
    }
    label
}

/// A system's name for people.
pub(super) fn system_name(system: &str) -> &'static str {
    match system {
        "ebook" => "E-books",
        "resort" => "Resorts",
        "cinema" => "Cinema",
        "matching" => "Teachers",
        "salon" => "Hair salon",
        "parcel" => "Parcels",
        _ => "Another system",
    }
}

/// A moment, for people and for programs.
#[derive(Clone)]
pub(super) struct Moment {
    pub text: String,
    pub exact: String,
}

pub(super) fn moment(value: &Value, zone: Tz) -> Option<Moment> {
    let at: DateTime<Utc> = value.as_str()?.parse().ok()?;
    Some(Moment { text: at.with_timezone(&zone).format("%-d %b %Y, %H:%M:%S").to_string(), exact: at.to_rfc3339() })
}

/// An amount, as its currency is written; nothing where there is none.
pub(super) fn money(value: &Value) -> Option<String> {
    let currency = Currency::from_code(value["currency"].as_str()?)?;
    let minor = value["amount_minor"].as_i64().filter(|minor| *minor != 0)?;
    Some(Money::new(minor, currency).ok()?.to_string())
}

/// How long there is left, in the two largest units.
pub(super) fn left(seconds: i64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds.max(0);
    let mut parts = Vec::new();
    for (unit, name) in units {
        if rest >= unit && parts.len() < 2 {
            parts.push(format!("{} {name}", rest / unit));
        }
        rest %= unit;
    }
    if parts.is_empty() { "now".to_owned() } else { parts.join(" ") }
}

/// A booking as one line of a list.
pub(super) struct Line {
    pub id: String,
    pub system: &'static str,
    pub what: String,
    pub stage: String,
    pub mood: &'static str,
    pub customer: String,
    pub price: Option<String>,
    pub waits: Option<String>,
    pub deadline: Option<Moment>,
    pub at: Option<Moment>,
}

impl Line {
    pub(super) fn of(booking: &Value, zone: Tz) -> Self {
        let text = |name: &str| booking[name].as_str().unwrap_or_default();
        Self {
            id: text("id").to_owned(),
            system: system_name(text("system")),
            what: what(booking),
            stage: words(text("stage")),
            mood: mood(booking),
            customer: text("customer").to_owned(),
            price: money(&booking["price"]),
            waits: booking["waiting_for"].as_str().map(words),
            deadline: moment(&booking["deadline_at"], zone),
            at: moment(&booking["at"], zone),
        }
    }
}

/// What a booking is of.
pub(super) fn what(booking: &Value) -> String {
    let detail = |name: &str| booking["details"][name].as_str().map(str::to_owned);
    let name = booking["item_name"].as_str().map(str::to_owned);
    let when = detail("resortPeriod").or_else(|| detail("time"));
    match (name, when, detail("qty")) {
        (Some(name), Some(when), _) => format!("{name}, {when}"),
        (Some(name), None, _) => name,
        (None, Some(when), _) => when,
        (None, None, Some(parcels)) => format!("{parcels} parcels"),
        (None, None, None) => match booking["item"].as_i64() {
            Some(item) if item > 0 => format!("number {item}"),
            _ => "a request".to_owned(),
        },
    }
}

/// How a booking stands, as a colour and a word of the style sheet say it.
pub(super) fn mood(booking: &Value) -> &'static str {
    match (booking["ending"].as_str(), booking["stage"].as_str().unwrap_or_default()) {
        (Some("completed"), _) => "good",
        (Some(_), _) => "over",
        (None, saga::stage::STUCK) => "bad",
        (None, saga::stage::UNDOING) => "back",
        (None, _) if booking["waiting_for"].is_string() => "waits",
        (None, _) => "runs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_two_units() {
        assert_eq!(left(0), "now");
        assert_eq!(left(59), "59 s");
        assert_eq!(left(3_600), "1 h");
        assert_eq!(left(90_061), "1 d 1 h");
    }

    #[test]
    fn names_of_fields_are_written_as_words() {
        assert_eq!(label("bookName"), "Book name");
        assert_eq!(label("visit_date"), "Visit date");
        assert_eq!(label("qty"), "Qty");
    }
}
