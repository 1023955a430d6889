//! Cinema over HTTP: its paths, its fields, and its words for where a reservation is.
//!
//! The words (`available`, `reqReserve`, `rsvStatus`, ...) are those of the system's first clients and live only here.

use super::{
    Gateway,
    auth::Role,
    call::{Call, Fields, json, located, needed, next},
    catalogue::{Change, Item, NewItem},
    desk::{self, Paid, reached, time},
    problem::{Code, Problem},
    routes::{Access, BEGUN, Gives, HELD, Route, TOLD},
    shape::{CURRENCY, Field, Holds, METHOD, REASON, REFUNDED, STAGE, Shape, USER, VERSION},
    start::Wanted,
    systems::{Reading, Shelf, System, sees_all_of},
    workers::MESSAGE,
};
use crate::{board::Filter, host::Kind};
use iso_currency::Currency;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{Ending, Row},
    cinema::{Cinema, Stage},
    money::Money,
    saga::Booking as _,
};

const NAME: &str = Cinema::SYSTEM;
static KIND: &Kind = &Kind::of::<Cinema>();
const MANAGERS: Access = Access::Any(&[Role::Manager]);
const MEMBERS: Access = Access::Any(&[Role::Member]);
/// How many reservations of a movie its view shows.
const SHOWN_MAX: i64 = 20;

pub(super) const SYSTEM: System = System {
    name: NAME,
    routes: ROUTES,
    staff: &[Role::Manager],
    order: "/cinema/reservations",
    paid: Some(Stage::Reserved.as_str()),
    shelf: Some(Shelf { path: "/cinema/movies", list: "movies", number: "movieId", title: "desc", wanted: "movieId" }),
    read,
};

const ROUTES: &[Route] = &[
    Route::post("/cinema/movies", MANAGERS, "Registers a movie.", |gateway, call| {
        Box::pin(async move { register(&gateway, &call).await })
    })
    .takes(&[
        Field::text("desc", "What it is called.", "Parasite").needed(),
        Field::amount("price", "What a seat costs, in minor units; free without.", "12000"),
        CURRENCY,
        Field::number("capacity", "How many seats; one without.", "50"),
    ])
    .gives(&[201], Gives::One(&MOVIE)),
    Route::get("/cinema/movies", Access::SignedIn, "Lists the movies.", |gateway, call| {
        Box::pin(async move { movies(&gateway, &call, "movies", movie).await })
    })
    .lists("movies", &MOVIE),
    Route::get("/cinema/movies/{item}", Access::SignedIn, "Shows a movie.", |gateway, call| {
        Box::pin(async move { one_movie(&gateway, &call, movie).await })
    })
    .gives(&[200], Gives::One(&MOVIE))
    .refuses(&[&[Code::UnknownItem]]),
    Route::patch("/cinema/movies/{item}", MANAGERS, "Changes what a movie is called or costs.", |gateway, call| {
        Box::pin(async move { edit(&gateway, &call).await })
    })
    .takes(&[
        Field::text("desc", "What it is called from now on.", "Parasite"),
        Field::amount("price", "What a seat costs from now on.", "13000"),
        CURRENCY,
    ])
    .gives(&[200], Gives::One(&MOVIE))
    .refuses(&[&[Code::UnknownItem]]),
    Route::delete(
        "/cinema/movies/{item}",
        MANAGERS,
        "Takes a movie off the catalogue, unless a seat is reserved.",
        |gateway, call| Box::pin(async move { desk::remove(&gateway, &call, NAME).await }),
    )
    .refuses(&[&[Code::UnknownItem, Code::ItemInUse]]),
    Route::get("/cinema/movieviews", Access::SignedIn, "Lists the movies with their reservations.", |gateway, call| {
        Box::pin(async move { movies(&gateway, &call, "movieviews", movieview).await })
    })
    .lists("movieviews", &MOVIEVIEW),
    Route::get(
        "/cinema/movieviews/{item}",
        Access::SignedIn,
        "Shows a movie with its reservations.",
        |gateway, call| Box::pin(async move { one_movie(&gateway, &call, movieview).await }),
    )
    .gives(&[200], Gives::One(&MOVIEVIEW))
    .refuses(&[&[Code::UnknownItem]]),
    Route::post("/cinema/reservations", MEMBERS, "Reserves a seat.", |gateway, call| {
        Box::pin(async move { desk::order(&gateway, &call, &call.fields()?, &SYSTEM, SYSTEM.order, reservation).await })
    })
    .takes(&[Field::number("movieId", "Which movie.", "1").needed(), METHOD])
    .begins(&RESERVATION)
    .refuses(&[BEGUN, HELD]),
    Route::get("/cinema/reservations", Access::SignedIn, "Lists reservations, newest first.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "reservations", reservation).await })
    })
    .lists("reservations", &RESERVATION),
    Route::get("/cinema/reservations/{booking}", Access::SignedIn, "Shows a reservation.", |gateway, call| {
        Box::pin(async move { desk::one(&gateway, &call, NAME, reservation).await })
    })
    .shows(&RESERVATION),
    Route::patch(
        "/cinema/reservations/{booking}",
        Access::Any(&[Role::Member, Role::Manager]),
        "Cancels a reservation, or says that the movie was watched.",
        |gateway, call| Box::pin(async move { move_on(&gateway, &call).await }),
    )
    .takes(&[Field::choice(
        "status",
        "`reqCancel` by the customer, `watched` by the manager.",
        &["reqCancel", "watched"],
        "reqCancel",
    )
    .needed()])
    .moves(&RESERVATION)
    .refuses(&[TOLD]),
    Route::get("/cinema/payments", Access::SignedIn, "Lists payments, newest first.", |gateway, call| {
        Box::pin(async move { desk::list(&gateway, &call, NAME, "payments", payment).await })
    })
    .lists("payments", &PAYMENT),
    Route::get(
        "/cinema/payments/{booking}",
        Access::SignedIn,
        "Shows the payment of a reservation.",
        |gateway, call| Box::pin(async move { desk::one(&gateway, &call, NAME, payment).await }),
    )
    .shows(&PAYMENT),
    Route::post("/cinema/reviews", MEMBERS, "Says how a movie was that you have watched.", |gateway, call| {
        Box::pin(async move { review(&gateway, &call).await })
    })
    .takes(&[
        Field::number("movieId", "Which movie.", "1"),
        Field::number("roomId", "The same, under its old name.", "1"),
        Field::text_to(2000, "content", "What you say.", "Unforgettable.").needed(),
    ])
    .gives(&[201], Gives::One(&WRITTEN))
    .refuses(&[&[Code::NotAttended]]),
    Route::get("/cinema/reviews", Access::SignedIn, "Lists what was said about a movie.", |gateway, call| {
        Box::pin(async move { reviews(&gateway, &call).await })
    })
    .asks(&[Field::number("movieId", "Which movie.", "1").needed()])
    .lists("reviews", &REVIEW),
    Route::get("/cinema/messages", Access::SignedIn, "Lists messages to customers of the cinema.", |gateway, call| {
        Box::pin(async move { gateway.messages(&call, NAME, None).await })
    })
    .lists("messages", &MESSAGE),
];

// Movies.

async fn register(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    let name = needed(fields.text("desc", 200)?, "desc", "what the movie is called")?;
    // Without a price it is free.
    let price = desk::amount(&fields, "price", Currency::KRW)?.unwrap_or(Money::zero(Currency::KRW));
    let units = fields.number("capacity", 1..=10_000)?.map_or(1, |seats| i32::try_from(seats).unwrap_or(1));
    let new = NewItem { name, price, units, attributes: BTreeMap::new() };
    let item = gateway.catalogue.register(NAME, &new).await?;
    let location = format!("/cinema/movies/{}", item.number);
    Ok(located(json(StatusCode::CREATED, &movie(&item, &Seats::default())), &location))
}

async fn edit(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["desc", "price", "currency"])?;
    let number = call.number(0, Code::UnknownItem)?;
    let unknown = || Problem::new(Code::UnknownItem);
    let before = gateway.catalogue.find(NAME, number).await?.ok_or_else(unknown)?;
    let price = desk::amount(&fields, "price", before.price.currency())?;
    let change = Change { name: fields.text("desc", 200)?, price, ..Change::default() };
    let item = gateway.catalogue.change(NAME, number, &change).await?.ok_or_else(unknown)?;
    let shown = seats(gateway, call, &[item.number]).await?.remove(&item.number).unwrap_or_default();
    Ok(json(StatusCode::OK, &movie(&item, &shown)))
}

type Shown = fn(&Item, &Seats) -> Value;

/// What is known of a movie's seats.
#[derive(Default)]
struct Seats {
    /// How many are held.
    held: i64,
    /// Its reservations, newest first.
    recent: Vec<Row>,
}

async fn movies(gateway: &Gateway, call: &Call, name: &str, show: Shown) -> Result<Response, Problem> {
    let (after, limit) = call.page()?;
    let items = gateway.catalogue.page(NAME, after.unwrap_or(0), limit).await?;
    let numbers: Vec<i64> = items.iter().map(|item| item.number).collect();
    let seats = seats(gateway, call, &numbers).await?;
    let next = next(&items, limit, |item| item.number);
    let none = Seats::default();
    let shown: Vec<Value> = items.iter().map(|item| show(item, seats.get(&item.number).unwrap_or(&none))).collect();
    Ok(json(StatusCode::OK, &json!({ name: shown, "next": next })))
}

async fn one_movie(gateway: &Gateway, call: &Call, show: Shown) -> Result<Response, Problem> {
    let number = call.number(0, Code::UnknownItem)?;
    let item = gateway.catalogue.find(NAME, number).await?.ok_or_else(|| Problem::new(Code::UnknownItem))?;
    let recent = seats(gateway, call, &[number]).await?.remove(&number).unwrap_or_default();
    Ok(json(StatusCode::OK, &show(&item, &recent)))
}

/// What is known of some movies' seats. Whose they are is shown to those who may see it.
async fn seats(gateway: &Gateway, call: &Call, movies: &[i64]) -> Result<HashMap<i64, Seats>, Problem> {
    let mut seats: HashMap<i64, Seats> = HashMap::new();
    for (movie, held) in gateway.board.held(NAME, movies).await? {
        seats.entry(movie).or_default().held = held;
    }
    // Whose a seat is is between them and the cinema.
    let customer = (!sees_all_of(&call.caller, NAME)).then(|| call.caller.subject.as_str());
    for row in gateway.board.recent(NAME, movies, customer, SHOWN_MAX).await? {
        seats.entry(row.item.number).or_default().recent.push(row);
    }
    Ok(seats)
}

// Reservations.

/// Reads what a customer asks for. Who, at which price and in which state is ours to know: such fields are not read.
fn read<'a>(_: &'a Gateway, _: &'a Call, fields: &'a Fields) -> Reading<'a> {
    Box::pin(async {
        let item = needed(fields.number("movieId", 1..=i64::MAX)?, "movieId", "the number of a movie")?;
        let method = fields.text("paymentMethod", 64)?;
        let seat = Wanted::item(KIND, item, fields.canonical(), Code::ItemTaken, Code::UnknownItem);
        Ok(Wanted { method, ..seat })
    })
}

/// The customer cancels; the manager says that it was watched.
async fn move_on(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["status"])?;
    match fields.text("status", 20)?.as_deref() {
        Some("reqCancel") => {
            let row = desk::own(gateway, call, NAME).await?;
            desk::cancel(gateway, call, &row, reservation).await
        }
        Some("watched") if call.caller.is_any(&[Role::Manager]) => {
            let row = gateway.booking(call, call.booking(0)?, Some(NAME)).await?;
            desk::complete(gateway, call, &row, reservation).await
        }
        Some("watched") => Err(Problem::new(Code::Forbidden)),
        _ => Err(Problem::field("status", "reqCancel, or watched")),
    }
}

// Reviews.

const REVIEW: Shape = Shape::new(
    "Review",
    &[
        Field::number("reviewId", "Its number.", "1"),
        Field::number("movieId", "Of which movie.", "1"),
        Field::text_to(2000, "content", "What somebody says.", "Unforgettable."),
        Field::moment("writtenDate", "When."),
    ],
);
const WRITTEN: Shape = Shape::new("WrittenReview", &[Field::id("rsvId", "By which reservation.")]).and(&REVIEW);

/// Only who has been there may say how it was, once for each time.
async fn review(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    let movie = match fields.number("movieId", 1..=i64::MAX)? {
        None => fields.number("roomId", 1..=i64::MAX)?,
        movie => movie,
    };
    let movie = needed(movie, "movieId", "the number of a movie")?;
    let content = needed(fields.text("content", 2000)?, "content", "what you say about the movie")?;
    let watched = Filter {
        system: Some(NAME.to_owned()),
        stage: Some(Stage::Watched.as_str().to_owned()),
        customer: Some(call.caller.subject.to_string()),
        item: Some(movie),
        limit: 1,
        ..Filter::default()
    };
    let page = gateway.board.page(&watched).await?;
    let row = page.rows.first().ok_or_else(|| Problem::new(Code::NotAttended).with("item", movie))?;
    let review = gateway.catalogue.review(row, &content).await?.ok_or_else(|| Problem::new(Code::UnknownItem))?;
    let shown = json!({
        "reviewId": review.id, "movieId": movie, "rsvId": review.booking, "content": review.content,
        "writtenDate": review.written_at,
    });
    Ok(json(StatusCode::CREATED, &shown))
}

async fn reviews(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let movie = call.query.get("movieId").and_then(|movie| movie.parse().ok());
    let movie = needed(movie, "movieId", "the number of a movie")?;
    let (after, limit) = call.page()?;
    let said = gateway.catalogue.reviews(NAME, movie, after.unwrap_or(0), limit).await?;
    let next = next(&said, limit, |review| review.id);
    // Who said it stays between them and the cinema.
    let shown = said.iter().map(|review| {
        json!({
            "reviewId": review.id, "movieId": movie, "content": review.content, "writtenDate": review.written_at,
        })
    });
    Ok(json(StatusCode::OK, &json!({ "reviews": shown.collect::<Vec<_>>(), "next": next })))
}

// Words.

fn reservation_status(row: &Row) -> &'static str {
    match &row.ending {
        Some(Ending::Completed) => "watched",
        Some(Ending::Undone { .. }) => "cancelled",
        None if reached(row, "undoing") => "reqCancel",
        None if reached(row, Stage::Reserved.as_str()) => "reserved",
        None => "reqReserve",
    }
}

fn payment_status(row: &Row) -> &'static str {
    match desk::paid(row, Stage::Reserved.as_str()) {
        Paid::Pending => "requested",
        Paid::Taken => "paid",
        Paid::Refunded | Paid::Never => "cancelled",
        Paid::Declined => "declined",
    }
}

const MOVIE_FIELDS: &[Field] = &[
    Field::number("movieId", "Its number.", "1"),
    Field::text("desc", "What it is called.", "Parasite"),
    Field::amount("price", "What a seat costs, in minor units.", "12000"),
    CURRENCY,
    Field::number("capacity", "How many seats.", "50"),
    Field::count("free", "How many are free.", "49"),
    Field::count("reviewCnt", "How many reviews.", "0"),
    Field::choice("lastAction", "What happened last.", &["register", "reserved", "cancelled", "review"], "register"),
];
const SEAT_STATUS: &[&str] = &["available", "reserved"];
const MOVIE: Shape =
    Shape::new("Movie", &[Field::choice("status", "Whether a seat is free.", SEAT_STATUS, "available")])
        .and(&Shape::new("", MOVIE_FIELDS));

fn movie(item: &Item, seats: &Seats) -> Value {
    let free = (i64::from(item.units) - seats.held).max(0);
    let last = match seats.recent.first() {
        _ if seats.held > 0 => "reserved",
        Some(row) if matches!(row.ending, Some(Ending::Undone { .. })) => "cancelled",
        _ if item.reviews > 0 => "review",
        _ => "register",
    };
    json!({
        "movieId": item.number,
        "desc": item.name,
        "price": item.price.amount_minor(),
        "currency": item.price.currency().code(),
        "capacity": item.units,
        "free": free,
        "status": if free == 0 { "reserved" } else { "available" },
        "reviewCnt": item.reviews,
        "lastAction": last,
    })
}

const RSV_ID: Field = Field::id("rsvId", "The reservation.").or_null();
const RSV_STATUS: Field = Field::text("rsvStatus", "How far it is.", "reserved").or_null();
const PAY_ID: Field = Field::id("payId", "Its payment.").or_null();
const PAY_STATUS: Field = Field::text("payStatus", "Where the money is.", "paid").or_null();
const SEAT: Shape = Shape::new("Seat", &[RSV_ID, RSV_STATUS, PAY_ID, PAY_STATUS]);
const MOVIEVIEW: Shape = Shape::new(
    "MovieView",
    &[
        Field::choice("movieStatus", "Whether a seat is free.", SEAT_STATUS, "available"),
        Field::of_kind("status", Holds::Anything, "Always null: see movieStatus.", "").or_null(),
        RSV_ID,
        RSV_STATUS,
        PAY_ID,
        PAY_STATUS,
        Field::list("reservations", "Those that you may see, newest first.", &SEAT),
    ],
)
.and(&Shape::new("", MOVIE_FIELDS));

/// One screen with the movie and its reservations: the newest under the names of old, and all of them.
fn movieview(item: &Item, seats: &Seats) -> Value {
    let mut view = movie(item, seats);
    view["movieStatus"] = view["status"].take();
    let shown = |row: &Row| {
        json!({
            "rsvId": row.booking, "rsvStatus": reservation_status(row),
            "payId": row.booking, "payStatus": payment_status(row),
        })
    };
    let newest = seats.recent.first().map_or(json!({}), shown);
    for name in ["rsvId", "rsvStatus", "payId", "payStatus"] {
        view[name] = newest[name].clone();
    }
    view["reservations"] = seats.recent.iter().map(shown).collect();
    view
}

const SEAT_PRICE: Field = Field::amount("price", "What it costs, in minor units.", "12000").or_null();
const RESERVATION: Shape = Shape::new(
    "SeatReservation",
    &[
        Field::id("rsvId", "Its id."),
        Field::id("id", "The same."),
        Field::number("movieId", "Which movie.", "1"),
        Field::text("desc", "What it is called.", "Parasite").or_null(),
        USER,
        SEAT_PRICE,
        CURRENCY,
        Field::choice(
            "status",
            "How far it is.",
            &["reqReserve", "reserved", "reqCancel", "cancelled", "watched"],
            "reserved",
        ),
        Field::id("payId", "Its payment.").or_null(),
        Field::moment("reservedDate", "When it was reserved.").or_null(),
        Field::moment("cancelledDate", "When it was turned back.").or_null(),
        REFUNDED,
        REASON,
        STAGE,
        VERSION,
    ],
);

fn reservation(row: &Row) -> Value {
    let (price, currency) = desk::price(row);
    json!({
        "rsvId": row.booking,
        "id": row.booking,
        "movieId": row.item.number,
        "desc": row.item_name,
        "userId": row.customer,
        "price": price,
        "currency": currency,
        "status": reservation_status(row),
        "payId": reached(row, Stage::Reserved.as_str()).then_some(row.booking),
        "reservedDate": time(row, Stage::Reserved.as_str()),
        "cancelledDate": time(row, "undone"),
        "refundedDate": time(row, "refunded"),
        "reason": row.reason,
        "stage": row.stage,
        "version": row.version,
    })
}

const PAYMENT: Shape = Shape::new(
    "SeatPayment",
    &[
        Field::id("payId", "Its id."),
        Field::id("rsvId", "Of which reservation."),
        Field::number("movieId", "For which movie.", "1"),
        SEAT_PRICE,
        CURRENCY,
        Field::choice("status", "Where the money is.", &["requested", "paid", "cancelled", "declined"], "paid"),
        Field::moment("paidDate", "When it was taken.").or_null(),
        REFUNDED,
        VERSION,
    ],
);

fn payment(row: &Row) -> Value {
    let (price, currency) = desk::price(row);
    json!({
        "payId": row.booking,
        "rsvId": row.booking,
        "movieId": row.item.number,
        "price": price,
        "currency": currency,
        "status": payment_status(row),
        "paidDate": time(row, Stage::Reserved.as_str()),
        "refundedDate": time(row, "refunded"),
        "version": row.version,
    })
}
