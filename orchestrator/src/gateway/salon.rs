//! Hair salon over HTTP: its paths, its fields, and its words for where a reservation is.
//!
//! The words (`hrSystems`, `viewReverveId`, ...) are those of the system's first clients and live only here.

use super::{
    Gateway,
    auth::Role,
    call::{Call, Fields, json, located, needed, next, without_body},
    catalogue::{Item, NewItem},
    desk::{self, ended_because, reached, stands, time},
    inbox::free_for,
    problem::{Code, Problem},
    routes::{Access, BEGUN, Gives, HELD, Route, TOLD},
    shape::{DEADLINE, Field, REASON, STAGE, Shape, USER, VERSION, WHY},
    start::Wanted,
    systems::{Reading, Shelf, System},
    workers::MESSAGE,
};
use crate::{board::Filter, host::Kind};
use chrono::{TimeDelta, Utc};
use iso_currency::Currency;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{Ending, Party, Period, Row},
    money::Money,
    saga::{BECAUSE, Booking as _, stage},
    salon::{Assignment, Decision, REJECTED, Salon, Stage},
};

use super::when::{Now, to_come};

const NAME: &str = Salon::SYSTEM;
static KIND: &Kind = &Kind::of::<Salon>();
const MANAGERS: Access = Access::Any(&[Role::Manager]);
const MEMBERS: Access = Access::Any(&[Role::Member]);
/// How long an appointment takes.
const SLOT: TimeDelta = TimeDelta::hours(1);
/// How many stylists a shop may have.
const STYLISTS_MAX: i64 = 200;
const TIME: &str = "a time such as 10:00, or a day and a time such as 2027-01-05T10:00";

pub(super) const SYSTEM: System = System {
    name: NAME,
    routes: ROUTES,
    staff: &[Role::Manager],
    order: "/salon/reservationSystems",
    paid: None,
    shelf: Some(Shelf {
        path: "/salon/hrSystems",
        list: "hrSystems",
        number: "stylistId",
        title: "stylistName",
        wanted: "stylist",
    }),
    read,
};

const ROUTES: &[Route] = &[
    Route::post("/salon/hrSystems", MANAGERS, "Registers a stylist.", |gateway, call| {
        Box::pin(async move { register(&gateway, &call).await })
    })
    .takes(&[Field::text_to(100, "stylistName", "Their name.", "Mina").needed()])
    .gives(&[201], Gives::One(&STYLIST)),
    Route::get("/salon/hrSystems", Access::SignedIn, "Lists the stylists.", |gateway, call| {
        Box::pin(async move { stylists(&gateway, &call).await })
    })
    .lists("hrSystems", &STYLIST),
    Route::delete(
        "/salon/hrSystems/{item}",
        MANAGERS,
        "Takes a stylist off the list, unless somebody has an appointment.",
        |gateway, call| Box::pin(async move { desk::remove(&gateway, &call, NAME).await }),
    )
    .refuses(&[&[Code::UnknownItem, Code::ItemInUse]]),
    Route::post("/salon/reservationSystems", MEMBERS, "Asks for an appointment of an hour.", |gateway, call| {
        Box::pin(async move { desk::order(&gateway, &call, &call.fields()?, &SYSTEM, SYSTEM.order, reservation).await })
    })
    .takes(&[
        Field::text_to(
            40,
            "time",
            "When: a time, or a day and a time, as the clock shows it there.",
            "2027-07-01T10:00",
        )
        .needed(),
        Field::text_to(100, "userName", "Who comes.", "Ada"),
        Field::text_to(100, "stylist", "Whom you wish for.", "Mina"),
    ])
    .begins(&RESERVATION)
    .refuses(&[BEGUN, HELD]),
    Route::get("/salon/reservationSystems", Access::SignedIn, "Lists reservations, newest first.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "reservationSystems", reservation).await })
    })
    .lists("reservationSystems", &RESERVATION),
    Route::get("/salon/reservationSystems/{booking}", Access::SignedIn, "Shows a reservation.", |gateway, call| {
        Box::pin(async move { desk::one(&gateway, &call, NAME, reservation).await })
    })
    .shows(&RESERVATION),
    Route::delete("/salon/reservationSystems/{booking}", MEMBERS, "Cancels a reservation.", |gateway, call| {
        Box::pin(async move { cancel(&gateway, &call).await })
    })
    .gives(&[204, 202], Gives::Row(&RESERVATION))
    .refuses(&[TOLD]),
    Route::get(
        "/salon/hairShopManagementSystems",
        MANAGERS,
        "Lists what waits for the shop's answer.",
        |gateway, call| Box::pin(async move { tasks(&gateway, &call).await }),
    )
    .lists("hairShopManagementSystems", &TASK),
    Route::get(
        "/salon/hairShopManagementSystems/{booking}",
        MANAGERS,
        "Shows what a reservation asks of the shop.",
        |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, management).await }),
    )
    .shows(&TASK),
    Route::patch(
        "/salon/hairShopManagementSystems/{booking}",
        MANAGERS,
        "Assigns a stylist, rejects, or says that the customer was served.",
        |gateway, call| Box::pin(async move { answer(&gateway, &call).await }),
    )
    .takes(&[
        Field::choice(
            "status",
            "What the shop says; it assigns without.",
            &["CONFIRMED", "REJECTED", "SERVED"],
            "CONFIRMED",
        ),
        Field::text_to(100, "stylist", "Who does it; the wish of the customer without.", "Mina"),
        WHY,
        Field::text_to(40, "reserveTime", "The time that the customer asked for.", "2027-07-01T10:00"),
    ])
    .moves(&TASK)
    .refuses(&[
        TOLD,
        &[
            Code::ItemTaken,
            Code::UnknownItem,
            Code::OwnRequest,
            Code::StylistNeeded,
            Code::NotYet,
            Code::DecidedOtherwise,
        ],
    ]),
    Route::get("/salon/reservationStatuses", MANAGERS, "Lists the appointments that are fixed.", |gateway, call| {
        Box::pin(async move { assigned(&gateway, &call).await })
    })
    .lists("reservationStatuses", &APPOINTMENT),
    Route::get("/salon/messages", Access::SignedIn, "Lists messages to customers of the salon.", |gateway, call| {
        Box::pin(async move { gateway.messages(&call, NAME, None).await })
    })
    .lists("messages", &MESSAGE),
];

// Stylists.

async fn register(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    let name = needed(fields.text("stylistName", 100)?, "stylistName", "the stylist's name")?;
    let new = NewItem { name, price: Money::zero(Currency::KRW), units: 1, attributes: BTreeMap::new() };
    let item = gateway.catalogue.register(NAME, &new).await?;
    Ok(located(json(StatusCode::CREATED, &stylist(&item)), &format!("/salon/hrSystems/{}", item.number)))
}

async fn stylists(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let (after, limit) = call.page()?;
    let items = gateway.catalogue.page(NAME, after.unwrap_or(0), limit).await?;
    let next = next(&items, limit, |item| item.number);
    let shown: Vec<Value> = items.iter().map(stylist).collect();
    Ok(json(StatusCode::OK, &json!({ "hrSystems": shown, "next": next })))
}

/// The stylist of a name or a number.
async fn stylist_named(gateway: &Gateway, named: &str) -> Result<Item, Problem> {
    let unknown = || Problem::new(Code::UnknownItem);
    if let Ok(number) = named.parse() {
        return gateway.catalogue.find(NAME, number).await?.ok_or_else(unknown);
    }
    let all = gateway.catalogue.page(NAME, 0, STYLISTS_MAX).await?;
    all.into_iter().find(|item| item.name == named).ok_or_else(unknown)
}

// Reservations.

/// Reads what a customer asks for: a time, and a stylist where they wish for one.
fn read<'a>(gateway: &'a Gateway, _: &'a Call, fields: &'a Fields) -> Reading<'a> {
    Box::pin(async {
        let text = needed(fields.text("time", 40)?, "time", TIME)?;
        let at = Utc::now();
        let slot = Now { at, zone: gateway.zone }.slot(&text, SLOT).ok_or_else(|| Problem::field("time", TIME))?;
        let period = Some(to_come(slot, at, "time")?);
        let mut details = BTreeMap::from([("time".to_owned(), text)]);
        details.extend(fields.text("userName", 100)?.map(|name| ("userName".to_owned(), name)));
        let wished = match fields.text("stylist", 100)? {
            Some(named) => stylist_named(gateway, &named).await?.number,
            None => 0,
        };
        let asked = Wanted::item(KIND, wished, fields.canonical(), Code::ItemTaken, Code::UnknownItem);
        Ok(Wanted { period, details, ..asked })
    })
}

async fn cancel(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let row = desk::own(gateway, call, NAME).await?;
    let told = desk::cancel(gateway, call, &row, reservation).await?;
    Ok(if told.status() == StatusCode::OK { without_body(&told, StatusCode::NO_CONTENT) } else { told })
}

// The shop.

/// What the shop has to answer, and what it has agreed to.
async fn tasks(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let waiting = Filter { waiting_for: Some(Party::Shop.as_str().to_owned()), ..Filter::default() };
    desk::list_where(gateway, call, NAME, "hairShopManagementSystems", management, waiting).await
}

async fn assigned(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let live = Filter { stage: Some(Stage::Confirmed.as_str().to_owned()), ..Filter::default() };
    desk::list_where(gateway, call, NAME, "reservationStatuses", status_view, live).await
}

/// The shop assigns a stylist, rejects, or says that the customer has been served.
async fn answer(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["stylist", "reserveTime", "status", BECAUSE])?;
    let row = gateway.booking(call, call.booking(0)?, Some(NAME)).await?;
    let by = call.caller.subject.clone();
    match fields.text("status", 20)?.as_deref() {
        None | Some("CONFIRMED") => {}
        Some("REJECTED") => {
            let body =
                Assignment { by, decision: Decision::Reject, stylist: None, because: fields.text(BECAUSE, 200)? };
            let effect = |row: &Row| ended_because(row, REJECTED);
            return desk::say(gateway, call, &row, "assign", body, effect, management).await;
        }
        Some("SERVED") => return desk::complete(gateway, call, &row, management).await,
        Some(_) => return Err(Problem::field("status", "CONFIRMED, REJECTED or SERVED")),
    }
    if let Some(text) = fields.text("reserveTime", 40)? {
        let asked = Now { at: Utc::now(), zone: gateway.zone }.slot(&text, SLOT);
        let same = row.details.get("time") == Some(&text) || asked.map(Period::from) == row.period.map(Period::from);
        if !same {
            return Err(Problem::field(
                "reserveTime",
                "the time the customer asked for; another one is another reservation",
            ));
        }
    }
    let number = match fields.text("stylist", 100)? {
        Some(named) => Some(stylist_named(gateway, &named).await?.number),
        None => None,
    };
    let wished = number.unwrap_or(row.item.number);
    if row.stage == Stage::Offered.as_str() {
        free_for(gateway, &row, wished).await?;
    }
    let body = Assignment { by, decision: Decision::Assign, stylist: number, because: None };
    let effect = move |row: &Row| reached(row, Stage::Confirmed.as_str()) && stands(row) && row.item.number == wished;
    desk::say(gateway, call, &row, "assign", body, effect, management).await
}

// Words.

fn status(row: &Row) -> &'static str {
    match &row.ending {
        Some(Ending::Completed) => "SERVED",
        Some(Ending::Undone { reason }) if reason == "cancelled" => "CANCELED",
        Some(Ending::Undone { .. }) => "REJECTED",
        None if reached(row, stage::UNDOING) => "CANCELED",
        None if reached(row, Stage::Confirmed.as_str()) => "CONFIRMED",
        None => "REQUESTED",
    }
}

const STYLIST: Shape = Shape::new(
    "Stylist",
    &[Field::number("stylistId", "Their number.", "1"), Field::text("stylistName", "Their name.", "Mina")],
);

fn stylist(item: &Item) -> Value {
    json!({ "stylistId": item.number, "stylistName": item.name })
}

const ASKED_TIME: &str = "As it was written.";
const STATUS: Field = Field::choice(
    "status",
    "How far it is.",
    &["REQUESTED", "CONFIRMED", "SERVED", "CANCELED", "REJECTED"],
    "CONFIRMED",
);
const WHO: Field = Field::text("stylist", "Who does it.", "Mina").or_null();
const BEGINS: Field = Field::moment("begins", "From this moment.").or_null();
const RESERVATION: Shape = Shape::new(
    "SalonReservation",
    &[
        Field::id("reserveId", "Its id."),
        Field::id("id", "The same."),
        Field::text("userName", "Who comes.", "Ada").or_null(),
        USER,
        Field::text("time", ASKED_TIME, "2027-07-01T10:00").or_null(),
        BEGINS,
        Field::moment("ends", "Until before this one.").or_null(),
        WHO,
        STATUS,
        REASON,
        Field::moment("canceledDate", "When it was turned back.").or_null(),
        STAGE,
        VERSION,
    ],
);

fn reservation(row: &Row) -> Value {
    json!({
        "reserveId": row.booking,
        "id": row.booking,
        "userName": row.details.get("userName"),
        "userId": row.customer,
        "time": row.details.get("time"),
        "begins": row.period.map(Period::from),
        "ends": row.period.map(Period::to),
        "stylist": row.item_name,
        "status": status(row),
        "reason": row.reason,
        "canceledDate": time(row, stage::UNDONE),
        "stage": row.stage,
        "version": row.version,
    })
}

const TASK: Shape = Shape::new(
    "SalonTask",
    &[
        Field::id("manageId", "Its id."),
        Field::id("reserveId", "Of which reservation."),
        Field::number("stylistId", "Who does it.", "1").or_null(),
        WHO,
        Field::text("reserveTime", ASKED_TIME, "2027-07-01T10:00").or_null(),
        BEGINS,
        STATUS,
        DEADLINE,
        VERSION,
    ],
);

fn management(row: &Row) -> Value {
    json!({
        "manageId": row.booking,
        "reserveId": row.booking,
        "stylistId": (row.item.number > 0).then_some(row.item.number),
        "stylist": row.item_name,
        "reserveTime": row.details.get("time"),
        "begins": row.period.map(Period::from),
        "status": status(row),
        "deadline": row.deadline_at,
        "version": row.version,
    })
}

const APPOINTMENT: Shape = Shape::new(
    "Appointment",
    &[
        Field::id("viewId", "Its id."),
        Field::id("viewReverveId", "The same, under its old name."),
        Field::count("stylistId", "Who does it.", "1"),
        WHO,
        Field::text("time", ASKED_TIME, "2027-07-01T10:00").or_null(),
        BEGINS,
        VERSION,
    ],
);

fn status_view(row: &Row) -> Value {
    json!({
        "viewId": row.booking,
        "viewReverveId": row.booking,
        "stylistId": row.item.number,
        "stylist": row.item_name,
        "time": row.details.get("time"),
        "begins": row.period.map(Period::from),
        "version": row.version,
    })
}
