//! Today: what is going on in the systems that somebody works for, in numbers.

use super::{
    Gateway,
    auth::Role,
    call::{Call, json},
    problem::Problem,
    routes::{Access, Gives, Route},
    shape::{Field, Holds, MONEY, Shape},
    systems::{paid_from, sees_all_of},
};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use warp::{http::StatusCode, reply::Response};
use workflows::saga::stage;

/// What has to be acted on within this time is due.
const SOON: TimeDelta = TimeDelta::hours(1);
const STAFF: Access =
    Access::Any(&[Role::Admin, Role::Operator, Role::Manager, Role::Teacher, Role::Courier, Role::Sender]);

const LEVEL: Shape = Shape::new(
    "Level",
    &[
        Field::text("stage", "Which stage.", "paid"),
        Field::text("waiting_for", "Who has to act.", "administrator").or_null(),
        Field::count("count", "How many are there.", "3"),
        Field::count("due", "How many have to be acted on within the hour.", "1"),
    ],
);
const SYSTEM_TODAY: Shape = Shape::new(
    "SystemToday",
    &[
        Field::text("system", "Which system.", "ebook"),
        Field::count("live", "How many bookings have not ended.", "3"),
        Field::list("stages", "Where they are.", &LEVEL),
        Field::list("money", "What their customers have paid and not got back.", &MONEY),
    ],
);
const TODAY: Shape = Shape::new(
    "Today",
    &[
        Field::list("systems", "Those that you work for.", &SYSTEM_TODAY),
        Field::count("live", "How many bookings have not ended.", "3"),
        Field::count("due", "How many have to be acted on within the hour.", "1"),
        Field::count("stuck", "How many need an operator.", "0"),
        Field::list("money", "In flight in all.", &MONEY),
        Field::of_kind("at", Holds::Moment, "When this was counted.", "2027-07-01T10:00:00Z"),
    ],
);

pub(super) const ROUTES: &[Route] = &[Route::get(
    "/today",
    STAFF,
    "Counts live bookings by system and stage, with the money in flight and what is due.",
    |gateway, call| Box::pin(async move { today(&gateway, &call).await }),
)
.gives(&[200], Gives::One(&TODAY))];

async fn today(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    call.only_query(&[])?;
    let systems: Vec<_> = paid_from().into_iter().filter(|(name, _)| sees_all_of(&call.caller, name)).collect();
    let now = Utc::now();
    let levels = gateway.board.levels(&systems, now + SOON).await?;

    let mut shown: BTreeMap<&str, Counted> = systems.iter().map(|(name, _)| (*name, Counted::default())).collect();
    let mut all = Counted::default();
    let (mut due, mut stuck) = (0, 0);
    for level in &levels {
        due += level.due;
        stuck += if level.stage == stage::STUCK { level.count } else { 0 };
        for counted in [Some(&mut all), shown.get_mut(level.system.as_str())].into_iter().flatten() {
            counted.live += level.count;
            if let Some(currency) = level.currency.as_deref().filter(|_| level.held_minor > 0) {
                *counted.money.entry(currency.to_owned()).or_default() += level.held_minor;
            }
            // One currency does not make another stage.
            let place = counted
                .stages
                .iter_mut()
                .find(|(stage, waits, ..)| (stage, waits) == (&level.stage, &level.waiting_for));
            match place {
                Some((_, _, count, soon)) => {
                    *count += level.count;
                    *soon += level.due;
                }
                None => counted.stages.push((level.stage.clone(), level.waiting_for.clone(), level.count, level.due)),
            }
        }
    }
    let systems: Vec<Value> = systems.iter().filter_map(|(name, _)| Some((name, shown.get(name)?))).map(|(name, counted)| {
        let stages = counted.stages.iter().map(|(stage, waiting_for, count, due)| {
            json!({ "stage": stage, "waiting_for": waiting_for, "count": count, "due": due })
        });
        json!({ "system": name, "live": counted.live, "stages": stages.collect::<Vec<_>>(), "money": counted.money() })
    }).collect();
    let today = json!({
        "systems": systems, "live": all.live, "due": due, "stuck": stuck, "money": all.money(), "at": now,
    });
    Ok(json(StatusCode::OK, &today))
}

/// What has been counted of some bookings.
#[derive(Default)]
struct Counted {
    live: i64,
    stages: Vec<(String, Option<String>, i64, i64)>,
    money: BTreeMap<String, i64>,
}

impl Counted {
    fn money(&self) -> Value {
        let amounts =
            self.money.iter().map(|(currency, amount)| json!({ "amount_minor": amount, "currency": currency }));
        amounts.collect()
    }
}
