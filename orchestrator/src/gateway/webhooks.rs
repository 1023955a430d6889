//! Webhooks over HTTP: who is told of changes, what came of it, and telling them again from a place on.

use super::{
    Gateway,
    auth::Role,
    call::{Call, json, located, needed, next, no_content},
    problem::{Code, Problem},
    routes::{Access, Route},
    systems,
};
use crate::{board::FeedPlace, webhooks};
use reqwest::Url;
use secrecy::ExposeSecret;
use serde_json::json;
use uuid::Uuid;
use warp::{
    http::{Method, StatusCode},
    reply::Response,
};

const OPERATORS: Access = Access::Any(&[Role::Operator]);

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/webhooks",
        access: OPERATORS,
        serve: |gateway, call| Box::pin(async move { add(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/webhooks",
        access: OPERATORS,
        serve: |gateway, call| Box::pin(async move { all(&gateway, &call).await }),
    },
    Route {
        method: Method::DELETE,
        path: "/webhooks/{}",
        access: OPERATORS,
        serve: |gateway, call| Box::pin(async move { remove(&gateway, &call).await }),
    },
    Route {
        method: Method::GET,
        path: "/webhooks/{}/deliveries",
        access: OPERATORS,
        serve: |gateway, call| Box::pin(async move { deliveries(&gateway, &call).await }),
    },
    Route {
        method: Method::POST,
        path: "/webhooks/{}/replay",
        access: OPERATORS,
        serve: |gateway, call| Box::pin(async move { replay(&gateway, &call).await }),
    },
];

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
    let made = gateway.board.receivers().deliveries(receiver(call)?, before, limit).await?;
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
