//! The payment provider: how it is, and the switch that leaves it alone.

use super::{
    Gateway,
    auth::Role,
    call::{Call, json, needed},
    problem::{Code, Problem},
    routes::{Access, Gives, Route},
    shape::{Field, Shape},
};
use serde_json::{Value, json};
use warp::{http::StatusCode, reply::Response};

const OPERATORS: Access = Access::Any(&[Role::Operator]);
const REASON_MAX: usize = 500;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/provider", OPERATORS, "Says how the payment provider is.", |gateway, call| {
        Box::pin(async move { look(&gateway, &call).await })
    })
    .gives(&[200], Gives::One(&WEATHER)),
    Route::put(
        "/provider",
        OPERATORS,
        "Stops all calls to the payment provider, or lets them go again.",
        |gateway, call| Box::pin(async move { turn(&gateway, &call).await }),
    )
    .takes(&[
        Field::flag("paused", "No calls, or calls again.").needed(),
        Field::text_to(500, "reason", "Why.", "The provider has announced an outage.").needed(),
    ])
    .gives(&[200], Gives::One(&WEATHER)),
];

const PAUSE: Shape = Shape::new(
    "Pause",
    &[
        Field::text("by", "Who turned the switch.", "ops"),
        Field::text_to(500, "reason", "Why.", "The provider has announced an outage."),
        Field::moment("since", "When."),
    ],
);
const WEATHER: Shape = Shape::new(
    "Weather",
    &[
        Field::choice("state", "Whether it is asked.", &["closed", "half_open", "open", "paused"], "closed"),
        Field::count("retry_seconds", "When it is asked again.", "30").or_null(),
        Field::one("pause", "Who has stopped all calls.", &PAUSE).or_null(),
    ],
);

fn url(gateway: &Gateway) -> String {
    format!("{}/provider", gateway.payment.base)
}

async fn look(gateway: &Gateway, _: &Call) -> Result<Response, Problem> {
    answer(gateway.payment.ask(gateway.payment.client.get(url(gateway))).await?)
}

/// Pauses all calls to the provider, or lets them go again. What is to be charged or refunded meanwhile waits.
async fn turn(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["paused", "reason"])?;
    let paused = needed(fields.flag("paused")?, "paused", "true or false")?;
    let reason = needed(fields.text("reason", REASON_MAX)?, "reason", "why, in a sentence")?;
    let wish = json!({ "paused": paused, "reason": reason, "by": call.caller.subject });
    answer(gateway.payment.ask(gateway.payment.client.put(url(gateway)).json(&wish)).await?)
}

fn answer(weather: Option<Value>) -> Result<Response, Problem> {
    let weather = weather.ok_or_else(|| Problem::new(Code::Unavailable).with("part", "the payment worker"))?;
    Ok(json(StatusCode::OK, &weather))
}
