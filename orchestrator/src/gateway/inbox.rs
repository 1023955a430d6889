//! Inbox: what waits for the caller, the most urgent first, and a word for one or for many of them.

use super::{
    Gateway,
    auth::{Caller, Role},
    bookings::{BOOKING, uniform},
    call::{Call, json, needed},
    catalogue::Known,
    problem::{Code, Problem},
    routes::{Access, Gives, Route},
    shape::{Field, Holds, Shape, WHY},
    talk::Message,
};
use crate::{
    board::{Place, Waiting},
    host,
};
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use warp::{http::StatusCode, reply::Response};
use workflows::{
    booking::{BookingId, Ending, Party, Row},
    saga::{May, Say, Turn},
};

/// How many bookings one word may be for, and for how many of them it is said at the same time.
const AT_ONCE_MAX: usize = 100;
const AT_ONCE: usize = 8;
/// The longest text that a word may come with.
const TEXT_MAX: usize = 200;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/inbox", Access::SignedIn, "Lists what waits for you, the most urgent first.", |gateway, call| {
        Box::pin(async move { inbox(&gateway, &call).await })
    })
    .asks(&[Field::text_to(20, "system", "Only of this system.", "ebook")])
    .lists("bookings", &WAITING),
    Route::post(
        "/inbox/{word}",
        Access::SignedIn,
        "Says a word to one booking or to a hundred; each answers for itself.",
        |gateway, call| Box::pin(async move { say(&gateway, &call).await }),
    )
    .takes(&[
        Field::of_kind("bookings", Holds::Ids, "To which.", "").needed(),
        Field::text("teacher", "For `visit`: who comes.", "Mr Kim"),
        Field::text("visit_date", "For `visit`: when.", "2027-07-01"),
        Field::number("stylist", "For `assign`: which stylist; the customer's wish without.", "1"),
        WHY,
    ])
    .gives(&[200], Gives::One(&SAID)),
];

/// Who speaks for a party. A customer speaks for themselves.
const fn role_of(party: Party) -> Option<Role> {
    match party {
        Party::Customer => None,
        Party::Administrator => Some(Role::Admin),
        Party::Manager | Party::Shop => Some(Role::Manager),
        Party::Teacher => Some(Role::Teacher),
        Party::Courier => Some(Role::Courier),
        Party::Sender => Some(Role::Sender),
        Party::Operator => Some(Role::Operator),
    }
}

fn speaks_for(caller: &Caller, party: Party, customer: &str) -> bool {
    role_of(party).map_or(customer == caller.subject.as_str(), |role| caller.is_any(&[role]))
}

async fn inbox(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    call.only_query(&["system", "cursor", "limit"])?;
    let parties =
        Party::ALL.iter().copied().filter(|party| role_of(*party).is_some_and(|role| call.caller.is_any(&[role])));
    let after = match call.query.get("cursor") {
        None => None,
        Some(text) => Some(place(text).ok_or_else(|| Problem::field("cursor", "the `next` of another page"))?),
    };
    let limit = call.limit()?;
    let wanted = Waiting {
        parties: parties.map(|party| party.as_str().to_owned()).collect(),
        customer: call.caller.subject.to_string(),
        system: call.text("system")?,
        after,
        limit,
    };
    let page = gateway.board.waiting(&wanted).await?;
    let now = Utc::now();
    let shown: Vec<Value> = page.rows.iter().map(|row| shown(row, now)).collect();
    let next =
        page.next.map(|(deadline, appeared)| format!("{}_{appeared}", deadline.map_or(-1, |at| at.timestamp_micros())));
    Ok(json(StatusCode::OK, &json!({ "bookings": shown, "next": next })))
}

/// A place in the inbox, as it is written in a cursor.
fn place(text: &str) -> Option<Place> {
    let (deadline, appeared) = text.split_once('_')?;
    let deadline = match deadline.parse().ok()? {
        -1 => None,
        // Nothing is due before 1970, and the database knows no time long before that.
        micros => Some(DateTime::from_timestamp_micros(micros).filter(|_| micros >= 0)?),
    };
    Some((deadline, appeared.parse().ok()?))
}

const SAY: Shape = Shape::new(
    "Say",
    &[
        Field::text("say", "The word.", "approve"),
        Field::of_kind("with", Holds::Texts, "What it has to come with.", ""),
        Field::of_kind("may", Holds::Texts, "What it may come with.", ""),
    ],
);
const WAITING: Shape = Shape::new(
    "Waiting",
    &[
        Field::count("seconds_left", "Until its deadline.", "86400").or_null(),
        Field::list("may", "What may be said to it.", &SAY),
    ],
)
.and(&BOOKING);
const OUTCOME: Shape = Shape::new(
    "Outcome",
    &[
        Field::id("booking", "Of which booking."),
        Field::count(
            "status",
            "As an answer to this one alone would have it; 202 when it was heard and does not show yet.",
            "200",
        ),
        Field::text("code", "Why it was refused.", "too_late").or_null(),
        Field::text("stage", "Where it is.", "approved").or_null(),
        Field::count("version", "Its version.", "4").or_null(),
    ],
);
const SAID: Shape = Shape::new(
    "Said",
    &[Field::text("said", "The word.", "approve"), Field::list("outcomes", "What came of it for each.", &OUTCOME)],
);

fn shown(row: &Row, now: DateTime<Utc>) -> Value {
    let mut booking = uniform(row);
    booking["seconds_left"] = json!(row.deadline_at.map(|deadline| (deadline - now).num_seconds().max(0)));
    let turn = host::kind(&row.system).and_then(|kind| kind.turn(&row.stage));
    booking["may"] = turn.map_or_else(|| json!([]), heard);
    booking
}

/// What is heard at somebody's turn.
fn heard(turn: &Turn) -> Value {
    let taken = |say: &Say| say.takes.iter().map(|may| may.name()).collect::<Vec<_>>();
    turn.says.iter().map(|say| json!({ "say": say.word, "with": say.needs, "may": taken(say) })).collect()
}

/// What somebody may say to a booking, as it is shown to them.
pub(super) fn may(caller: &Caller, booking: &Value) -> Value {
    let text = |name: &str| booking[name].as_str().unwrap_or_default();
    let turn = host::kind(text("system")).and_then(|kind| kind.turn(text("stage")));
    let turn = turn.filter(|turn| speaks_for(caller, turn.party, text("customer")));
    turn.map_or_else(|| json!([]), heard)
}

/// Says something to one booking, or to many: each answers for itself.
async fn say(gateway: &Arc<Gateway>, call: &Call) -> Result<Response, Problem> {
    let word = call.parameters.first().map(String::as_str).unwrap_or_default();
    let fields = call.fields()?;
    let bookings = needed(fields.ids("bookings", AT_ONCE_MAX)?, "bookings", "a list of 1 to 100 ids of bookings")?;
    let known = host::SAGAS.iter().flat_map(|kind| kind.turns).flatten().flat_map(|turn| turn.says);
    let mut added = Map::new();
    for say in known.filter(|say| say.word == word) {
        let needed = say.needs.iter().map(|name| May::Text(name));
        for may in needed.chain(say.takes.iter().copied()) {
            let value = match may {
                May::Text(name) => fields.text(name, TEXT_MAX)?.map(|text| json!(text)),
                May::Item(name) => fields.number(name, 1..=i64::MAX)?.map(|number| json!(number)),
            };
            added.extend(value.map(|value| (may.name().to_owned(), value)));
        }
    }
    let said = stream::iter(bookings).map(|booking| {
        let added = &added;
        async move {
            match say_to(gateway, call, booking, word, added).await {
                Ok((row, shows)) => {
                    let status = if shows { StatusCode::OK } else { StatusCode::ACCEPTED }.as_u16();
                    json!({ "booking": booking, "status": status, "stage": row.stage, "version": row.version })
                }
                Err(problem) => json!({
                    "booking": booking, "status": problem.code.status().as_u16(), "code": problem.code.text(),
                }),
            }
        }
    });
    let outcomes: Vec<Value> = said.buffered(AT_ONCE).collect().await;
    Ok(json(StatusCode::OK, &json!({ "said": word, "outcomes": outcomes })))
}

/// The booking as it is afterwards, and whether what was said shows on it already.
async fn say_to(
    gateway: &Gateway,
    call: &Call,
    booking: BookingId,
    word: &str,
    added: &Map<String, Value>,
) -> Result<(Row, bool), Problem> {
    let row = gateway.booking(call, booking, None).await?;
    let (turn, say) = heard_as(&row, word).ok_or_else(|| Problem::new(Code::NotSaid))?;
    if !speaks_for(&call.caller, turn.party, row.customer.as_str()) {
        return Err(Problem::new(Code::Forbidden));
    }
    if let Some(missing) = say.needs.iter().find(|name| !added.contains_key(**name)) {
        return Err(Problem::field(missing, "some text"));
    }
    if row.stage == turn.stage
        && let Some(item) = say.takes.iter().find_map(|may| wished_item(*may, added, &row))
    {
        free_for(gateway, &row, item).await?;
    }
    let body = say.message(&call.caller.subject, added);
    let message = Message::at(&row, say.update, word, body);
    let takes_on = say.needs.is_empty() && say.word == turn.says[0].word;
    // A word with nothing to add has had its effect when the story has gone on, whoever was quicker to say it.
    if takes_on
        && say.takes.is_empty()
        && let Some(now) = gateway.signal(call, &row, &message, call.due(), |now| has_passed(now, turn)).await?
    {
        return Ok((now, true));
    }
    let has_passed_before = takes_on && has_passed(&row, turn);
    let heard = match gateway.say_within(call, &row, message, call.due()).await {
        // Its saga has ended and answers nobody any more. What takes a story on has done so when it has completed.
        Err(problem) if problem.code == Code::TooLate && takes_on => {
            let now = gateway.booking(call, booking, None).await?;
            return if matches!(now.ending, Some(Ending::Completed)) { Ok((now, true)) } else { Err(problem) };
        }
        heard => heard?,
    };
    if has_passed_before {
        // A repeat: nothing more comes of it.
        return Ok((row, true));
    }
    let newer = |now: &Row| now.version > heard.version;
    let now = gateway.row_when(booking, call.due(), newer).await?.unwrap_or(row);
    let shows = newer(&now);
    Ok((now, shows))
}

/// Has the booking gone on from a turn, and not back?
fn has_passed(row: &Row, turn: &Turn) -> bool {
    let stages = host::kind(&row.system).map_or(&[][..], |kind| kind.stages);
    let place = |wanted: &str| stages.iter().position(|stage| *stage == wanted);
    place(&row.stage) > place(turn.stage)
}

/// The item that a booking is to have by a word.
fn wished_item(may: May, added: &Map<String, Value>, row: &Row) -> Option<i64> {
    match may {
        May::Item(name) => Some(added.get(name).and_then(Value::as_i64).unwrap_or(row.item.number)),
        May::Text(_) => None,
    }
}

/// Is there such an item, and is it free at the booking's time? Said while another can still be chosen; who is quicker after
/// this is decided by the hold.
pub(super) async fn free_for(gateway: &Gateway, row: &Row, item: i64) -> Result<(), Problem> {
    if item == 0 {
        return Ok(());
    }
    if let Known::Unlisted = gateway.catalogue.known(&row.system, item).await {
        return Err(Problem::new(Code::UnknownItem).with("item", item));
    }
    let holders = gateway.board.holders_during(&row.system, &[(item, row.period)], Some(row.booking)).await?;
    if holders.is_empty() { Ok(()) } else { Err(Problem::new(Code::ItemTaken).with("item", item)) }
}

/// What a word means to a booking: at its present stage, or else at one it has been at, so that a repeat is answered by it.
fn heard_as(row: &Row, word: &str) -> Option<(&'static Turn, &'static Say)> {
    let kind = host::kind(&row.system)?;
    let present = kind.turn(&row.stage).into_iter();
    let all = present.chain(kind.turns.into_iter().flatten());
    all.flat_map(|turn| turn.says.iter().map(move |say| (turn, say))).find(|(_, say)| say.word == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456);
        assert_eq!(place("1700000000123456_7"), Some((at, 7)));
        assert_eq!(place("-1_7"), Some((None, 7)));
        for bad in ["", "7", "x_7", "1_x", "_", "99999999999999999999_1"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        /// Whatever is sent as a cursor: it is refused, or it is a place that the database knows.
        #[test]
        fn anything_may_come_as_a_cursor(text in "\\PC{0,30}|-?[0-9]{1,20}_-?[0-9]{1,20}") {
            if let Some((deadline, _)) = place(&text) {
                assert!(deadline.is_none_or(|deadline| deadline.timestamp() >= 0));
            }
            if let Ok(place) = text.parse::<crate::board::FeedPlace>() {
                assert_eq!(place.to_string().parse(), Ok(place));
            }
        }
    }
}
