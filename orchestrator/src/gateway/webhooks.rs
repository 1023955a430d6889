//! Webhooks over HTTP: who is told of changes, what came of it, and telling them again from a place on.

use super::{
    Gateway,
    auth::Role,
    call::{Call, json, located, needed, next, no_content},
    problem::{Code, Problem},
    routes::{Access, Gives, Route},
    shape::{Field, Shape},
    systems,
};
use crate::{board::FeedPlace, webhooks};
use reqwest::Url;
use secrecy::ExposeSecret;
use serde_json::json;
use uuid::Uuid;
use warp::{http::StatusCode, reply::Response};

const OPERATORS: Access = Access::Any(&[Role::Operator]);

pub(super) const ROUTES: &[Route] = &[
    Route::post(
        "/webhooks",
        OPERATORS,
        "Registers a receiver of changes. Its secret is shown here, once.",
        |gateway, call| Box::pin(async move { add(&gateway, &call).await }),
    )
    .takes(&[
        Field::text_to(500, "url", "Where it is called: https.", "https://example.com/holdfast").needed(),
        Field::text_to(20, "system", "Only of this system.", "ebook"),
        Field::text_to(40, "from", "The id of the last change it has; from now on without.", "0-0"),
    ])
    .gives(&[201], Gives::One(&NEW_RECEIVER)),
    Route::get("/webhooks", OPERATORS, "Lists the receivers.", |gateway, call| {
        Box::pin(async move { all(&gateway, &call).await })
    })
    .gives(&[200], Gives::One(&RECEIVERS)),
    Route::delete("/webhooks/{receiver}", OPERATORS, "Forgets a receiver.", |gateway, call| {
        Box::pin(async move { remove(&gateway, &call).await })
    })
    .refuses(&[&[Code::NoSuchReceiver]]),
    Route::get(
        "/webhooks/{receiver}/deliveries",
        OPERATORS,
        "Lists the calls to a receiver, newest first.",
        |gateway, call| Box::pin(async move { deliveries(&gateway, &call).await }),
    )
    .lists("deliveries", &CALL)
    .refuses(&[&[Code::NoSuchReceiver]]),
    Route::post(
        "/webhooks/{receiver}/replay",
        OPERATORS,
        "Tells a receiver again from a change on; goes on where it was without.",
        |gateway, call| Box::pin(async move { replay(&gateway, &call).await }),
    )
    .takes(&[Field::text_to(40, "from", "The id of the last change it is to have.", "0-0")])
    .gives(&[200], Gives::One(&RECEIVER))
    .refuses(&[&[Code::NoSuchReceiver]]),
];

const RECEIVER: Shape = Shape::new(
    "Receiver",
    &[
        Field::id("id", "Its id."),
        Field::text_to(500, "url", "Where it is called.", "https://example.com/holdfast"),
        Field::text("system", "Only of this system.", "ebook").or_null(),
        Field::text("made_by", "Who registered it.", "ops"),
        Field::moment("made_at", "When."),
        Field::text("position", "The last change it was told.", "731-12"),
        Field::moment("next_at", "Not called before."),
        Field::count("attempts", "How often the next change was tried in vain.", "0"),
        Field::flag("paused", "Not called until it is resumed."),
    ],
);
const NEW_RECEIVER: Shape =
    Shape::new("NewReceiver", &[Field::text("secret", "Signs the calls (Standard Webhooks): keep it.", "whsec_...")])
        .and(&RECEIVER);
const RECEIVERS: Shape = Shape::new("Receivers", &[Field::list("receivers", "All of them.", &RECEIVER)]);
const CALL: Shape = Shape::new(
    "Call",
    &[
        Field::count("delivery", "Its number.", "1"),
        Field::text("place", "Which change.", "731-12"),
        Field::id("booking", "Of which booking."),
        Field::count("version", "Which version.", "3"),
        Field::moment("at", "When."),
        Field::count("attempt", "The how manieth attempt.", "1"),
        Field::count("status", "The receiver's HTTP status.", "200").or_null(),
        Field::choice("outcome", "What came of it.", &["delivered", "failed", "given_up"], "delivered"),
    ],
);

/// Registers a receiver. Its secret is shown here, once.
async fn add(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["url", "system", "from"])?;
    let expected = "an https URL without a user; http for this machine alone";
    let url = needed(fields.text("url", 500)?, "url", expected)?;
    let url: Url = url.parse().map_err(|_| Problem::field("url", expected))?;
    let here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    let plain = url.scheme() == "http" && here;
    if !(url.scheme() == "https" || plain) || !url.username().is_empty() || url.password().is_some() {
        return Err(Problem::field("url", expected));
    }
    let system = fields.text("system", 20)?;
    if system.as_deref().is_some_and(|system| systems::named(system).is_none()) {
        return Err(Problem::field("system", "a booking system"));
    }
    let from = place(fields.text("from", 40)?)?;
    let secret = webhooks::new_secret();
    let by = call.caller.subject.as_str();
    let receiver = gateway.board.receivers().add(url.as_str(), &secret, system.as_deref(), by, from).await?;
    let mut shown = json!(receiver);
    shown["secret"] = json!(secret.expose_secret());
    Ok(located(json(StatusCode::CREATED, &shown), &format!("/webhooks/{}", receiver.id)))
}

/// The id of a change, as a place to go on from.
fn place(text: Option<String>) -> Result<Option<FeedPlace>, Problem> {
    let read =
        |text: String| text.parse().map_err(|_| Problem::field("from", "the id of a change; 0-0 for all of them"));
    text.map(read).transpose()
}

async fn all(gateway: &Gateway, _: &Call) -> Result<Response, Problem> {
    let receivers = gateway.board.receivers().all().await?;
    Ok(json(StatusCode::OK, &json!({ "receivers": receivers })))
}

fn receiver(call: &Call) -> Result<Uuid, Problem> {
    let id = call.parameters.first().and_then(|id| id.parse().ok());
    id.ok_or_else(|| Problem::new(Code::NoSuchReceiver))
}

async fn remove(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    if !gateway.board.receivers().remove(receiver(call)?).await? {
        return Err(Problem::new(Code::NoSuchReceiver));
    }
    Ok(no_content())
}

async fn deliveries(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let (before, limit) = call.page()?;
    let receiver = receiver(call)?;
    if !gateway.board.receivers().all().await?.iter().any(|known| known.id == receiver) {
        return Err(Problem::new(Code::NoSuchReceiver));
    }
    let made = gateway.board.receivers().deliveries(receiver, before, limit).await?;
    let next = next(&made, limit, |delivery| delivery.delivery);
    Ok(json(StatusCode::OK, &json!({ "deliveries": made, "next": next })))
}

/// Tells a receiver again from a place on; without one, goes on where it was when it was paused.
async fn replay(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["from"])?;
    let from = place(fields.text("from", 40)?)?;
    let resumed = gateway.board.receivers().resume(receiver(call)?, from).await?;
    Ok(json(StatusCode::OK, &resumed.ok_or_else(|| Problem::new(Code::NoSuchReceiver))?))
}
