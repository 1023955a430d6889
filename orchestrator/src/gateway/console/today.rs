//! Today: for those who work here, what is going on; for customers, their bookings.

use super::{
    super::{Gateway, inside::Ask, problem::Problem},
    Visit,
    frame::{self, Frame, Line, money, system_name, words},
    lists,
};
use askama::Template;
use serde_json::Value;
use std::sync::Arc;
use warp::reply::Response;

#[derive(Template)]
#[template(path = "today.html")]
struct Page {
    frame: Frame,
    live: i64,
    due: i64,
    stuck: i64,
    money: Vec<String>,
    systems: Vec<System>,
    urgent: Vec<Line>,
}

struct System {
    id: String,
    name: &'static str,
    live: i64,
    stages: Vec<Level>,
    money: Vec<String>,
}

struct Level {
    stage: String,
    label: String,
    count: i64,
    due: i64,
}

pub(super) async fn show(gateway: &Arc<Gateway>, visit: &Visit) -> Result<Response, Problem> {
    let caller = &visit.session()?.caller;
    if !frame::works(caller) {
        return lists::own(gateway, visit).await;
    }
    let today = Ask::get(caller, "/today").fetch(gateway).await?;
    let inbox = Ask::get(caller, "/inbox").query("limit", "5").fetch(gateway).await?;
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    let amounts = |value: &Value| value.as_array().into_iter().flatten().filter_map(money).collect::<Vec<_>>();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let levels = |system: &Value| {
        let levels = list(&system["stages"]).into_iter().map(|level| {
            let stage = level["stage"].as_str().unwrap_or_default().to_owned();
            Level { label: words(&stage), stage, count: number(&level["count"]), due: number(&level["due"]) }
        });
        levels.collect()
    };
    let systems = list(&today["systems"]).into_iter().map(|system| {
        let name = system["system"].as_str().unwrap_or_default();
        System {
            id: name.to_owned(),
            name: system_name(name),
            live: number(&system["live"]),
            stages: levels(&system),
            money: amounts(&system["money"]),
        }
    });
    let page = Page {
        frame: Frame::of(gateway, visit, "Today"),
        live: number(&today["live"]),
        due: number(&today["due"]),
        stuck: number(&today["stuck"]),
        money: amounts(&today["money"]),
        systems: systems.collect(),
        urgent: list(&inbox["bookings"]).iter().map(|booking| Line::of(booking, gateway.zone)).collect(),
    };
    frame::render(&page)
}
