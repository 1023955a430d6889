//! What all systems share: the uniform way to start a booking, and the board as people and programs read it.

use super::{
    Gateway,
    auth::Role,
    call::{Call, json, versioned},
    desk,
    problem::{Code, Problem},
    routes::{Access, BEGUN, Gives, Route, TOLD},
    shape::{Field, Holds, MONEY, REASON, STAGE, Shape, VERSION},
    systems::{self, SYSTEMS},
};
use crate::board::{FeedPlace, Filter, Follower, Whose};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use warp::{
    Reply,
    http::StatusCode,
    reply::Response,
    sse::{self, Event},
};
use workflows::booking::{Ending, Row};

/// A feed ends after this time; the reader comes back with `Last-Event-ID`.
const FEED_LASTS: Duration = Duration::from_mins(5);
const FEED_AHEAD_MAX: usize = 100;

pub(super) const ROUTES: &[Route] = &[
    Route::post("/bookings", Access::Any(&[Role::Member]), "Asks for a booking of any system, with that system's fields.", |gateway, call| Box::pin(async move { create(&gateway, &call).await })).takes(&[
        Field::choice("system", "Which system.", &["ebook", "resort", "cinema", "matching", "salon", "parcel"], "ebook").needed(),
        Field::of_kind("...", Holds::Anything, "The fields of that system's own request.", ""),
    ]).begins(&BOOKING).refuses(&[BEGUN, &[Code::UnknownBook, Code::BookAlreadyRented, Code::UnknownItem, Code::ItemTaken]]),
    Route::get("/bookings", Access::SignedIn, "Lists bookings of all systems, newest first.", |gateway, call| Box::pin(async move { list(&gateway, &call).await })).asks(&[
        Field::text_to(20, "system", "Only of this system.", "ebook"),
        Field::text_to(40, "stage", "Only at this stage.", "paid"),
        Field::text_to(20, "waiting_for", "Only those that wait for this party.", "administrator"),
        Field::text("customer", "Only of this customer; for administrators and operators.", "ada"),
        Field::number("item", "Only of this item.", "1"),
    ]).lists("bookings", &BOOKING),
    Route::get("/bookings/feed", Access::SignedIn, "Tells every change as it happens, and all since the event named by `Last-Event-ID` or `cursor`; with `cursor=now`, only what comes. Ends after five minutes: come back.", |gateway, call| Box::pin(async move { feed(gateway, &call).await })).asks(&[
        Field::text_to(20, "system", "Only of this system.", "ebook"),
        Field::text_to(40, "cursor", "The id of the last event you have, or `now`.", "0-0"),
    ]).gives(&[200], Gives::Events(&EVENT)),
    Route::post(
        "/bookings/{booking}/cancel",
        Access::Any(&[Role::Member]),
        "Takes back a booking of any system, before its point of no return: the money goes back.",
        |gateway, call| Box::pin(async move { cancel(&gateway, &call).await }),
    )
    .moves(&BOOKING)
    .refuses(&[TOLD]),
    Route::get("/bookings/{booking}", Access::SignedIn, "Shows a booking of any system, with what has happened to it.", |gateway, call| Box::pin(async move { show(&gateway, &call).await })).shows(&WHOLE),
];

async fn create(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    let names = || SYSTEMS.iter().map(|system| system.name).collect::<Vec<_>>().join(", ");
    let system = fields.text("system", 20)?.as_deref().and_then(systems::named);
    let system = system.ok_or_else(|| Problem::field("system", &format!("one of {}", names())))?;
    desk::order(gateway, call, &fields, system, "/bookings", uniform).await
}

async fn list(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let (before, limit) = call.page()?;
    let item = match call.query.get("item").map(|item| item.parse()) {
        None => None,
        Some(Ok(item)) => Some(item),
        Some(Err(_)) => return Err(Problem::field("item", "the number of an item")),
    };
    let system = call.text("system")?;
    let all = match &system {
        Some(system) => systems::sees_all_of(&call.caller, system),
        None => call.caller.sees_all(),
    };
    let filter = Filter {
        system,
        stage: call.text("stage")?,
        waiting_for: call.text("waiting_for")?,
        // Whoever does not see all sees their own.
        customer: if all { call.text("customer")? } else { Some(call.caller.subject.to_string()) },
        item,
        before,
        limit,
        ..Filter::default()
    };
    page(gateway, &filter).await
}

async fn cancel(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = gateway.booking(call, call.booking(0)?, None).await?;
    if row.customer != call.caller.subject {
        return Err(Problem::new(Code::Forbidden));
    }
    desk::cancel(gateway, call, &row, uniform).await
}

async fn page(gateway: &Gateway, filter: &Filter) -> Result<Response, Problem> {
    let page = gateway.board.page(filter).await?;
    let bookings: Vec<Value> = page.rows.iter().map(uniform).collect();
    Ok(json(StatusCode::OK, &json!({ "bookings": bookings, "next": page.next })))
}

async fn show(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = gateway.booking(call, call.booking(0)?, None).await?;
    let timeline = gateway.board.timeline(row.booking).await?;
    let mut booking = uniform(&row);
    booking["timeline"] = json!(timeline);
    Ok(versioned(&row, json(StatusCode::OK, &booking)))
}

/// Changes as they are published, oldest first, for whoever may see them.
async fn feed(gateway: Arc<Gateway>, call: &Call) -> Result<Response, Problem> {
    let after = match (call.headers.get("last-event-id"), call.query.get("cursor").map(String::as_str)) {
        (Some(id), _) => {
            let place = id.to_str().ok().and_then(|id| id.parse().ok());
            place.ok_or_else(|| Problem::field("Last-Event-ID", "the id of an event"))?
        }
        (None, None) => FeedPlace::default(),
        (None, Some("now")) => gateway.board.newest_place().await?,
        (None, Some(place)) => place.parse().map_err(|_| Problem::field("cursor", "the id of an event, or now"))?,
    };
    let system = call.text("system")?;
    let all = match &system {
        Some(system) => systems::sees_all_of(&call.caller, system),
        None => call.caller.sees_all(),
    };
    let customer = (!all).then(|| call.caller.subject.to_string());
    // A reader that does not keep up holds its own feed back, and nobody else's.
    let (send, receive) = mpsc::channel(FEED_AHEAD_MAX);
    let place = call.place.clone();
    tokio::spawn(async move {
        let follower = gateway.board.follow(after, Whose { customer, system });
        tokio::select! {
            () = tell(follower, &send) => {}
            () = send.closed() => {}
            () = gateway.stop.cancelled() => {}
        }
        drop(place);
    });
    Ok(events(receive))
}

/// Events as they come, until there are no more.
pub(super) fn events(receive: mpsc::Receiver<Event>) -> Response {
    let events = stream::unfold(receive, |mut receive| async { receive.recv().await.map(|event| (event, receive)) });
    sse::reply(sse::keep_alive().stream(events.map(Ok::<_, Infallible>))).into_response()
}

/// Tells a reader what happens, until the feed has lasted its time.
async fn tell(mut follower: Follower, send: &mpsc::Sender<Event>) {
    let ends = Instant::now() + FEED_LASTS;
    while Instant::now() < ends {
        let changes = match follower.next(ends).await {
            Ok(changes) => changes,
            Err(error) => {
                tracing::warn!(error = process::logs::chain(&error), "a feed ends: the board does not answer");
                return;
            }
        };
        for change in changes {
            let event = Event::default().id(change.place.to_string()).event("booking").json_data(&*change);
            let Ok(event) = event else { return };
            if timeout_at(ends, send.send(event)).await.is_err() {
                return;
            }
        }
    }
}

const STUCK: Shape = Shape::new(
    "Stuck",
    &[
        Field::text("step", "Which step cannot be undone.", "payment.refund"),
        Field::text("reason", "Why, where its worker says so.", "card_closed").or_null(),
        Field::one("at_risk", "The money that has to go back and has not.", &MONEY).or_null(),
        Field::of_kind("moves", Holds::Texts, "What an operator may do.", ""),
    ],
);
const WAITS: Field = Field::text("waiting_for", "Who has to act.", "administrator").or_null();
const ENDING: Field = Field::choice("ending", "How it ended.", &["completed", "undone"], "completed").or_null();
pub(super) const BOOKING: Shape = Shape::new(
    "Booking",
    &[
        Field::id("id", "Its id."),
        Field::text("system", "Of which system.", "ebook"),
        STAGE,
        VERSION,
        ENDING,
        REASON,
        Field::one("stuck", "What holds it up.", &STUCK).or_null(),
        Field::text("customer", "Whose it is: their subject.", "ada"),
        Field::count("item", "Of which item; 0 for none.", "1"),
        Field::text("item_name", "What that is called.", "Dune").or_null(),
        Field::one("price", "What it costs.", &MONEY).or_null(),
        Field::of_kind("period", Holds::Texts, "For when: from a moment until before another.", "").or_null(),
        Field::of_kind("details", Holds::Texted, "What its own system's pages show.", ""),
        WAITS,
        Field::moment("deadline_at", "Until when it waits.").or_null(),
        Field::of_kind("times", Holds::Moments, "When it reached each stage.", ""),
        Field::moment("at", "When it changed last."),
    ],
);
const EVENT: Shape = Shape::new(
    "Change",
    &[
        Field::text("place", "Its place: the id of the event.", "731-12"),
        Field::id("booking", "Of which booking."),
        VERSION,
        Field::text("system", "Of which system.", "ebook"),
        STAGE,
        ENDING,
        REASON,
        WAITS,
        Field::moment("at", "When."),
    ],
);
const WHOLE: Shape =
    Shape::new("WholeBooking", &[Field::list("timeline", "What has happened, in order.", &EVENT)]).and(&BOOKING);

/// A booking in the words that all systems share.
pub(super) fn uniform(row: &Row) -> Value {
    json!({
        "id": row.booking,
        "system": row.system,
        "stage": row.stage,
        "version": row.version,
        "ending": row.ending.as_ref().map(|ending| match ending {
            Ending::Completed => "completed",
            Ending::Undone { .. } => "undone",
        }),
        "reason": row.reason,
        "stuck": row.stuck,
        "customer": row.customer,
        "item": row.item.number,
        "item_name": row.item_name,
        "price": row.price,
        "period": row.period,
        "details": row.details,
        "waiting_for": row.waiting_for,
        "deadline_at": row.deadline_at,
        "times": row.times,
        "at": row.at,
    })
}
