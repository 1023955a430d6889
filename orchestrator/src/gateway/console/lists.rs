//! Lists of bookings: somebody's own, or those of the systems they work for.

use super::{
    super::{
        Gateway,
        inside::Ask,
        problem::Problem,
        systems::{SYSTEMS, sees_all_of},
    },
    Visit,
    frame::{self, Frame, Line, system_name},
};
use askama::Template;
use serde_json::Value;
use std::sync::Arc;
use warp::reply::Response;

#[derive(Template)]
#[template(path = "bookings.html")]
struct Page {
    frame: Frame,
    lines: Vec<Line>,
    next: Option<String>,
    /// Whose bookings they are is worth a column.
    all: bool,
    system: String,
    stage: String,
    systems: Vec<(&'static str, &'static str)>,
}

/// A customer's own, of all systems.
pub(super) async fn own(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    page(gateway, visit, "My bookings", false).await
}

/// Those of the systems that somebody works for.
pub(super) async fn bookings(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    page(gateway, visit, "Bookings", true).await
}

async fn page(gateway: &Arc<Gateway>, visit: &Visit, title: &str, all: bool) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    let theirs = SYSTEMS.iter().filter(|system| !all || sees_all_of(caller, system.name));
    let systems: Vec<_> = theirs.map(|system| (system.name, system_name(system.name))).collect();
    // Who does not see all systems sees one at a time.
    let first = if all && !caller.sees_all() { systems.first().map_or("", |(name, _)| name) } else { "" };
    let system = Some(visit.asked("system")).filter(|system| !system.is_empty()).unwrap_or(first);
    let listed = Ask::get(caller, "/bookings")
        .query("system", system)
        .query("stage", visit.asked("stage"))
        .query("cursor", visit.asked("cursor"))
        .fetch(gateway)
        .await?;
    let lines = listed["bookings"].as_array().into_iter().flatten().map(|line| Line::of(line, gateway.zone));
    let page = Page {
        frame: Frame::of(gateway, visit, title),
        lines: lines.collect(),
        next: next(&listed),
        all,
        system: system.to_owned(),
        stage: visit.asked("stage").to_owned(),
        systems,
    };
    frame::render(&page)
}

/// The cursor of the next page, where there is one.
pub(super) fn next(page: &Value) -> Option<String> {
    match &page["next"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
