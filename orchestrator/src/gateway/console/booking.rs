//! A booking: its saga as a picture, with where it is; its money, its messages, and what may be said to it.

use super::{
    super::{Gateway, auth::Role, inside::Ask, problem::Problem},
    Visit,
    frame::{self, Frame, Line, Moment, left, moment, money, words},
    inbox::{Items, Say, Told, says},
    see_other,
};
use crate::host;
use askama::Template;
use serde_json::{Value, json};
use std::sync::Arc;
use temporalio_client::NamespacedClient as _;
use warp::{http::Method, reply::Response};
use workflows::saga::{BECAUSE, stage};

#[derive(Template)]
#[template(path = "booking.html")]
struct Page {
    frame: Frame,
    line: Line,
    reason: Option<String>,
    because: Option<String>,
    left: Option<String>,
    now: String,
    steps: Vec<Step>,
    details: Vec<(String, String)>,
    postings: Option<Vec<Posting>>,
    messages: Option<Vec<Message>>,
    says: Vec<Say>,
    may_cancel: bool,
    stuck: bool,
    operator: bool,
    story: Vec<String>,
    temporal: Option<String>,
    path: String,
}

/// A stage of the saga on the picture.
struct Step {
    label: String,
    at: Option<Moment>,
    /// `done`, `now`, `ahead`, or `back` for what is undone.
    state: &'static str,
    note: Option<String>,
}

struct Posting {
    movement: String,
    account: String,
    amount: String,
    at: Option<Moment>,
}

struct Message {
    content: String,
    state: String,
    at: Option<Moment>,
}

pub(super) async fn show(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let id = visit.parameter(0);
    let about = |part: &str| Ask::get(caller, format!("/bookings/{id}{part}")).answer(gateway);
    let shown = Ask::get(caller, format!("/bookings/{id}")).fetch(gateway).await?;
    let (story, postings, messages) = futures::join!(about("/story"), about("/postings"), about("/messages"));
    let listed = |answer: &super::super::inside::Answer, name: &str| {
        answer.status.is_success().then(|| answer.body[name].as_array().cloned().unwrap_or_default())
    };
    let postings =
        listed(&postings, "postings").map(|postings| postings.iter().map(|one| posting(gateway, one)).collect());
    let messages =
        listed(&messages, "messages").map(|messages| messages.iter().map(|one| message(gateway, one)).collect());

    let system = shown["system"].as_str().unwrap_or_default();
    let own = shown["customer"] == caller.subject.as_str();
    let mut booking = shown.clone();
    booking["may"] = super::super::inbox::may(caller, &shown);
    let details = shown["details"].as_object().into_iter().flatten().filter(|(name, _)| *name != BECAUSE);
    let texts =
        |value: &Value| value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let seconds = shown["deadline_at"].as_str().and_then(|at| at.parse::<chrono::DateTime<chrono::Utc>>().ok());
    let operator = caller.is_any(&[Role::Operator]);
    let page = Page {
        frame: Frame::of(gateway, visit, &frame::what(&shown)),
        line: Line::of(&shown, gateway.zone),
        reason: shown["reason"].as_str().map(words),
        because: shown["details"][BECAUSE].as_str().map(str::to_owned),
        left: seconds.map(|at| left((at - chrono::Utc::now()).num_seconds())),
        now: story.body["now"].as_str().unwrap_or_default().to_owned(),
        steps: steps(gateway, &shown),
        details: details.map(|(name, value)| (words(name), value.as_str().unwrap_or_default().to_owned())).collect(),
        postings,
        messages,
        says: says(gateway, caller, &booking, &mut Items::new()).await,
        may_cancel: own && may_cancel(&shown),
        stuck: shown["stage"] == stage::STUCK,
        operator,
        story: texts(&story.body["happened"]),
        // Who runs this looks into the engine; customers have nothing to look for there.
        temporal: gateway.console.temporal_ui.as_ref().filter(|_| frame::works(caller)).map(|ui| {
            let namespace = gateway.temporal.namespace();
            format!("{}/namespaces/{namespace}/workflows/{system}%2F{id}", ui.as_str().trim_end_matches('/'))
        }),
        path: visit.path.clone(),
    };
    frame::render(&page)
}

/// Only its saga knows for sure; it is asked when somebody clicks.
fn may_cancel(booking: &Value) -> bool {
    let stage = booking["stage"].as_str().unwrap_or_default();
    let forward = host::kind(booking["system"].as_str().unwrap_or_default())
        .is_some_and(|kind| kind.turns[1].iter().any(|turn| turn.stage == stage));
    booking["ending"].is_null() && !forward && ![stage::UNDOING, stage::STUCK].contains(&stage)
}

/// The saga's stages in order: those it has been at, where it is, and those that are still ahead.
fn steps(gateway: &Gateway, booking: &Value) -> Vec<Step> {
    let timeline = booking["timeline"].as_array().cloned().unwrap_or_default();
    let ended = booking["ending"].is_string();
    let turned_back = timeline.iter().any(|change| change["stage"] == stage::UNDOING || change["ending"] == "undone");
    let mut steps: Vec<Step> = Vec::new();
    for (index, change) in timeline.iter().enumerate() {
        let name = change["stage"].as_str().unwrap_or_default();
        let last = index + 1 == timeline.len();
        let back = [stage::UNDOING, stage::UNDONE, stage::STUCK].contains(&name);
        let state = match (last && !ended, back) {
            (true, _) => "now",
            (false, true) => "back",
            (false, false) => "done",
        };
        let waits = change["waiting_for"].as_str().filter(|_| last && !ended);
        let note = waits.map(|who| format!("waits for the {}", words(who)));
        // A stage that is published again has only changed.
        let at = moment(&change["at"], gateway.zone);
        match steps.last_mut().filter(|step| step.label == words(name)) {
            Some(step) => (step.state, step.note) = (state, note),
            None => steps.push(Step { label: words(name), at, state, note }),
        }
    }
    let kind = host::kind(booking["system"].as_str().unwrap_or_default());
    let stages = kind.map_or(&[][..], |kind| kind.stages);
    let been = |name: &str| timeline.iter().any(|change| change["stage"] == name);
    if !ended && !turned_back {
        let ahead = stages.iter().filter(|name| !been(name));
        steps.extend(ahead.map(|name| Step { label: words(name), at: None, state: "ahead", note: None }));
    }
    steps
}

fn posting(gateway: &Gateway, one: &Value) -> Posting {
    let text = |name: &str| words(one[name].as_str().unwrap_or_default());
    let minor = one["amount_minor"].as_i64().unwrap_or_default();
    let amount = money(&json!({ "amount_minor": minor.abs(), "currency": one["currency"] })).unwrap_or_default();
    Posting {
        movement: text("movement"),
        account: text("account"),
        amount: format!("{}{amount}", if minor < 0 { "−" } else { "+" }),
        at: moment(&one["posted_at"], gateway.zone),
    }
}

fn message(gateway: &Gateway, one: &Value) -> Message {
    let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    Message { content: text("content"), state: text("state"), at: moment(&one["sentDate"], gateway.zone) }
}

/// The customer changes their mind.
pub(super) async fn cancel(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let id = visit.parameter(0);
    let path = format!("/console/bookings/{id}");
    let answer = Ask::new(caller, Method::POST, format!("/bookings/{id}/cancel")).answer(gateway).await;
    Ok(see_other(&Told::of("cancel", &answer).on(&path)))
}
