//! Signing in and out.

use super::{
    super::{
        Gateway,
        auth::{Caller, Role},
        problem::{Code, Problem},
    },
    Visit,
    frame::{self, Frame},
    oidc, see_other,
    session::back,
};
use askama::Template;
use std::{sync::Arc, time::Duration};
use warp::reply::Response;
use workflows::booking::Subject;

/// How long a token of development is good for.
const SIGNED_IN: Duration = Duration::from_hours(12);
/// How long somebody may take to sign in elsewhere.
const PENDING: Duration = Duration::from_mins(10);

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    frame: Frame,
    back: String,
    development: bool,
    elsewhere: bool,
    roles: &'static [Role],
    trouble: Option<&'static str>,
}

fn page(gateway: &Arc<Gateway>, visit: &Visit, trouble: Option<&'static str>) -> Result<Response, Problem> {
    let page = Page {
        frame: Frame::of(gateway, visit, "Sign in"),
        back: back(visit.asked("back")).to_owned(),
        development: gateway.auth.is_for_development(),
        elsewhere: gateway.oidc.is_some(),
        roles: Role::ALL,
        trouble,
    };
    frame::render(&page)
}

pub(super) fn show(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    page(gateway, visit, None)
}

/// Development: whoever they say they are.
pub(super) fn develop(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    if !gateway.auth.is_for_development() {
        return Err(Problem::new(Code::NoSuchPath));
    }
    let Ok(subject) = visit.said("subject").parse::<Subject>() else {
        return page(gateway, visit, Some("A name has 1 to 100 letters, digits, dots, dashes or underscores."));
    };
    let roles: Vec<Role> = Role::ALL.iter().copied().filter(|role| visit.form.contains_key(role.as_str())).collect();
    if roles.is_empty() {
        return page(gateway, visit, Some("Choose at least one role."));
    }
    let token = gateway.auth.token(&Caller { subject, roles }, SIGNED_IN);
    let token = token.map_err(|_| Problem::new(Code::Unavailable).with("part", "sign-in"))?;
    Ok(gateway.keep(see_other(back(visit.said("back"))), &token))
}

/// Sends the browser to the provider.
pub(super) async fn start(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let provider = gateway.oidc.as_ref().ok_or_else(|| Problem::new(Code::NoSuchPath))?;
    match provider.begin(&gateway.console.public_url, back(visit.asked("back"))).await {
        Ok((url, pending)) => Ok(gateway.keep_pending(see_other(url.as_str()), &pending, PENDING)),
        Err(failure) => {
            tracing::warn!(error = process::logs::chain(&failure), "nobody can sign in: the provider does not answer");
            Err(Problem::new(Code::Unavailable).with("part", "sign-in"))
        }
    }
}

/// The browser is back from the provider.
pub(super) async fn callback(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let provider = gateway.oidc.as_ref().ok_or_else(|| Problem::new(Code::NoSuchPath))?;
    let Some(pending) = gateway.pending::<oidc::Pending>(&visit.headers) else {
        return page(gateway, visit, Some("Signing in took too long. Try again."));
    };
    let wanted = pending.back.clone();
    let (state, code) = (visit.asked("state"), visit.asked("code"));
    let token = match provider.finish(&gateway.console.public_url, pending, state, code).await {
        Ok(token) => token,
        Err(failure) => {
            tracing::warn!(error = process::logs::chain(&failure), "a sign-in failed");
            return page(gateway, visit, Some("Signing in did not work. Try again."));
        }
    };
    // What the provider calls its own has to be what the API accepts as well.
    if gateway.auth.bearer(&token).await.is_err() {
        tracing::warn!("the provider's tokens are not those that HOLDFAST_JWT_ISSUER and HOLDFAST_JWT_AUDIENCE name");
        return page(gateway, visit, Some("You are known there, but not here. Ask whoever runs this."));
    }
    Ok(gateway.keep(gateway.forget(see_other(back(&wanted))), &token))
}

#[expect(clippy::unnecessary_wraps, reason = "as every page")]
pub(super) fn out(gateway: &Arc<Gateway>, _: &Visit) -> Result<Response, Problem> {
    Ok(gateway.forget(see_other("/console/sign-in")))
}
