//! `catalog.hold`, `catalog.release`, `catalog.confirm`: who has what, whatever the order of the calls.

use crate::world::{booking, database, settings, won};
use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Pool;
use futures::future::join_all;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use workers::catalog::{confirm, hold, look, open, release, stands};
use workflows::{
    booking::{BookingId, Item, Period},
    contracts::{
        Due, Settled, Stand, Standing,
        catalog::{Held, HoldAnswer, HoldRequest, Sight},
        recovery::OpenAfter,
    },
};

fn ask(method: Method, path: &str) -> RequestBuilder {
    let settings = settings();
    let request = Client::new().request(method, format!("{}{path}", settings["HOLDFAST_CATALOG_URL"]));
    request.bearer_auth(&settings["HOLDFAST_SERVICE_SECRET"])
}

async fn item_of(units: i32) -> Item {
    let new = json!({ "name": "a thing", "price": won(500), "units": units });
    let item: Value = ask(Method::POST, "/items/test").json(&new).send().await.unwrap().json().await.unwrap();
    Item { system: "test".to_owned(), number: item["number"].as_i64().unwrap() }
}

fn wish(booking: BookingId, item: &Item) -> HoldRequest {
    HoldRequest {
        booking,
        workflow: format!("test/{booking}"),
        customer: Some("c".parse().unwrap()),
        item: item.clone(),
        period: None,
        was_held: None,
    }
}

fn held() -> HoldAnswer {
    HoldAnswer::Held(Held { name: "a thing".to_owned(), price: won(500) })
}

async fn live_holds(pool: &Pool, item: &Item) -> i64 {
    let query = "select count(*) from holds join units using (unit) where system = $1 and number = $2 \
                 and state in ('held', 'confirmed')";
    pool.get().await.unwrap().query_one(query, &[&item.system, &item.number]).await.unwrap().get(0)
}

/// P3: our tables were restored from a backup. What was held is held again under its old price, if nobody else has it; and while
/// somebody has, that is no answer for good.
#[tokio::test]
async fn what_our_tables_have_lost_is_held_again_as_it_was() {
    let (pool, item) = (database("CATALOG"), item_of(1).await);
    let (lost, other) = (booking(), booking());
    let was = Held { name: "as it was".to_owned(), price: won(700) };
    let again = HoldRequest { was_held: Some(was.clone()), ..wish(lost, &item) };
    hold(&pool, &wish(other, &item)).await.unwrap();

    assert_eq!(hold(&pool, &again).await.unwrap(), HoldAnswer::Taken { until: None });
    release(&pool, &Due::of(other)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(hold(&pool, &again).await.unwrap(), HoldAnswer::Held(was.clone()));
    }
    assert_eq!(live_holds(&pool, &item).await, 1);
    confirm(&pool, &Due::of(lost)).await.unwrap();
    let stands = stands(&pool, &[lost, other, booking()]).await.unwrap();
    let known = |booking, standing| stands.contains(&Stand { booking, standing });
    assert!(stands.len() == 2 && known(lost, Standing::Firm) && known(other, Standing::Back), "{stands:?}");
}

#[tokio::test]
async fn a_hold_is_exclusive_until_it_is_released_and_a_repeat_gets_the_first_answer() {
    let (pool, item) = (database("CATALOG"), item_of(1).await);
    let (first, second) = (booking(), booking());
    let taken = HoldAnswer::Taken { until: None };

    assert_eq!(hold(&pool, &wish(first, &item)).await.unwrap(), held());
    assert_eq!(hold(&pool, &wish(first, &item)).await.unwrap(), held());
    assert_eq!(hold(&pool, &wish(second, &item)).await.unwrap(), taken);
    assert_eq!(release(&pool, &Due::of(first)).await.unwrap(), Settled::Done);

    // Also when that was a refusal, and the item is free by now.
    assert_eq!(hold(&pool, &wish(second, &item)).await.unwrap(), taken);
    assert_eq!(hold(&pool, &wish(booking(), &item)).await.unwrap(), held());
}

#[tokio::test]
async fn a_release_that_comes_first_refuses_the_late_hold() {
    let (pool, item) = (database("CATALOG"), item_of(1).await);
    let early = booking();

    assert_eq!(release(&pool, &Due::of(early)).await.unwrap(), Settled::Nothing);

    assert_eq!(hold(&pool, &wish(early, &item)).await.unwrap(), HoldAnswer::Closed);
    assert_eq!(live_holds(&pool, &item).await, 0);
}

#[tokio::test]
async fn releasing_an_old_booking_again_never_frees_a_newer_one() {
    let (pool, item) = (database("CATALOG"), item_of(1).await);
    let (old, new) = (booking(), booking());
    hold(&pool, &wish(old, &item)).await.unwrap();
    release(&pool, &Due::of(old)).await.unwrap();
    hold(&pool, &wish(new, &item)).await.unwrap();

    assert_eq!(release(&pool, &Due::of(old)).await.unwrap(), Settled::Done);

    assert_eq!(live_holds(&pool, &item).await, 1);
    assert_eq!(hold(&pool, &wish(booking(), &item)).await.unwrap(), HoldAnswer::Taken { until: None });
}

#[tokio::test]
async fn only_a_live_hold_can_be_confirmed_and_a_confirmed_one_can_be_released() {
    let (pool, item) = (database("CATALOG"), item_of(1).await);
    let firm = &Due::of(booking());
    let gone = Settled::Refused { reason: "hold_released".to_owned() };
    hold(&pool, &wish(firm.booking, &item)).await.unwrap();

    assert_eq!(confirm(&pool, firm).await.unwrap(), Settled::Done);
    assert_eq!(confirm(&pool, firm).await.unwrap(), Settled::Done);
    assert_eq!(release(&pool, firm).await.unwrap(), Settled::Done);

    assert_eq!(confirm(&pool, firm).await.unwrap(), Settled::Done, "the first answer, also after the release");
    assert_eq!(confirm(&pool, &Due::of(booking())).await.unwrap(), gone);
}

#[tokio::test]
async fn an_item_that_is_not_listed_is_an_answer_not_an_error() {
    let pool = database("CATALOG");
    let unknown = Item { system: "test".to_owned(), number: i64::MAX };

    assert_eq!(hold(&pool, &wish(booking(), &unknown)).await.unwrap(), HoldAnswer::UnknownItem);
}

/// P3 at the worker itself, without a gateway that queues.
#[tokio::test]
async fn of_two_hundred_bookings_for_fifty_units_exactly_fifty_hold() {
    let (pool, item) = (database("CATALOG"), item_of(50).await);
    let answers = join_all((0..200).map(|_| {
        let (pool, request) = (pool.clone(), wish(booking(), &item));
        async move {
            // Contention is an error, and an error is tried again.
            loop {
                if let Ok(answer) = hold(&pool, &request).await {
                    return answer;
                }
            }
        }
    }))
    .await;

    assert_eq!(answers.iter().filter(|answer| **answer == held()).count(), 50);
    assert_eq!(live_holds(&pool, &item).await, 50);
}

fn day(number: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + number)
}

fn for_days(booking: BookingId, item: &Item, from: i64, to: i64) -> HoldRequest {
    HoldRequest { period: Some(Period::new(day(from), day(to)).unwrap()), ..wish(booking, item) }
}

/// P3: one unit, several periods.
#[tokio::test]
async fn overlapping_periods_of_one_unit_exclude_each_other_and_touching_ones_do_not() {
    let (pool, item) = (database("CATALOG"), item_of(1).await);
    let taken = HoldAnswer::Taken { until: None };
    let middle = booking();
    assert_eq!(hold(&pool, &for_days(middle, &item, 10, 20)).await.unwrap(), held());

    for (from, to) in [(5, 11), (19, 25), (12, 13), (5, 25), (10, 20)] {
        assert_eq!(hold(&pool, &for_days(booking(), &item, from, to)).await.unwrap(), taken, "{from} to {to}");
    }
    assert_eq!(hold(&pool, &wish(booking(), &item)).await.unwrap(), taken, "without end overlaps everything");
    for (from, to) in [(5, 10), (20, 25)] {
        assert_eq!(hold(&pool, &for_days(booking(), &item, from, to)).await.unwrap(), held(), "{from} to {to}");
    }

    release(&pool, &Due::of(middle)).await.unwrap();
    assert_eq!(hold(&pool, &for_days(booking(), &item, 12, 20)).await.unwrap(), held(), "free again");
}

/// The same with many at once: whatever is held does not overlap, and whoever was refused could not have been served.
#[tokio::test]
async fn of_many_periods_that_are_wanted_at_once_none_overlap_and_none_is_refused_for_nothing() {
    const UNITS: i32 = 3;
    let (pool, item) = (database("CATALOG"), item_of(UNITS).await);
    // Every start of the month, for one to seven days, in an order that is no order.
    let wanted: Vec<(i64, i64)> = (0..120).map(|n| (n * 37 % 30, n * 37 % 30 + 1 + n * 11 % 7)).collect();

    let answers = join_all(wanted.iter().map(|(from, to)| {
        let (pool, request) = (pool.clone(), for_days(booking(), &item, *from, *to));
        async move {
            loop {
                if let Ok(answer) = hold(&pool, &request).await {
                    return answer;
                }
            }
        }
    }))
    .await;

    let overlapping = "select count(*) from holds a join holds b on a.unit = b.unit and a.booking < b.booking \
                       and a.period && b.period join units on a.unit = units.unit where system = $1 and number = $2 \
                       and a.state = 'held' and b.state = 'held'";
    let client = pool.get().await.unwrap();
    assert_eq!(client.query_one(overlapping, &[&item.system, &item.number]).await.unwrap().get::<_, i64>(0), 0);
    let free = "select count(*) from units u where system = $1 and number = $2 and not exists \
                (select from holds h where h.unit = u.unit and h.state = 'held' and h.period && tstzrange($3, $4))";
    for ((from, to), answer) in wanted.iter().zip(&answers) {
        if *answer != held() {
            let row = client.query_one(free, &[&item.system, &item.number, &day(*from), &day(*to)]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), 0, "refused although a unit is free from day {from} to {to}");
        }
    }
    assert!(live_holds(&pool, &item).await >= i64::from(UNITS) * 4, "there was room for some in a row");
}

/// P5: what a recovery is told.
#[tokio::test]
async fn what_is_held_is_listed_page_by_page_and_looked_up_by_booking() {
    let (pool, item) = (database("CATALOG"), item_of(2).await);
    let (live, firm, gone, never) = (booking(), booking(), booking(), booking());
    for one in [live, gone] {
        hold(&pool, &wish(one, &item)).await.unwrap();
    }
    release(&pool, &Due::of(gone)).await.unwrap();
    hold(&pool, &wish(firm, &item)).await.unwrap();
    confirm(&pool, &Due::of(firm)).await.unwrap();

    let mut listed = Vec::new();
    let mut page = OpenAfter { after: None, seconds: 0 };
    loop {
        let claims = open(&pool, &page).await.unwrap().claims;
        let Some(last) = claims.last() else { break };
        page.after = Some(last.booking);
        listed.extend(claims.iter().filter(|claim| claim.item.as_ref() == Some(&item)).map(|claim| claim.booking));
    }
    let mut expected = [live, firm];
    expected.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, expected);
    let mine = open(&pool, &OpenAfter { after: None, seconds: 0 }).await.unwrap().claims;
    let mine = mine.iter().find(|claim| claim.booking == live);
    assert!(mine.is_none_or(|claim| claim.customer.as_ref().is_some_and(|customer| customer.as_str() == "c")));
    let young = open(&pool, &OpenAfter { after: None, seconds: 3600 }).await.unwrap().claims;
    assert!(!young.iter().any(|claim| claim.booking == live), "too young to be looked for");

    let seen = async |booking| look(&pool, &Due::of(booking)).await.unwrap();
    let sight = seen(firm).await;
    assert_eq!((sight.item, sight.confirmed, sight.released), (Some(item), true, false));
    assert!(seen(gone).await.released && !seen(live).await.confirmed);
    assert_eq!(seen(never).await, Sight::default());
}

/// P3: the database says so, whoever asks.
#[tokio::test]
async fn two_live_holds_on_one_unit_are_refused_by_the_table_itself() {
    let (pool, item) = (database("CATALOG"), item_of(1).await);
    hold(&pool, &wish(booking(), &item)).await.unwrap();

    let second = "insert into holds (booking, workflow, unit, state, name, price_minor, currency) \
                  select $1, 'x', unit, 'held', 'x', 1, 'KRW' from units where system = $2 and number = $3";
    let error = pool
        .get()
        .await
        .unwrap()
        .execute(second, &[&booking().0, &item.system, &item.number])
        .await
        .expect_err("a second live hold");

    assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::EXCLUSION_VIOLATION));
}

/// Each worker has its own schema, and cannot read another's.
#[tokio::test]
async fn a_worker_cannot_read_another_workers_tables() {
    for (worker, table) in
        [("CATALOG", "payment.charges"), ("PAYMENT", "board.bookings"), ("NOTIFICATION", "catalog.holds")]
    {
        let client = database(worker).get().await.unwrap();
        let error = client.query(&format!("select 1 from {table}"), &[]).await.expect_err(table);
        assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE), "{worker} {table}");
    }
}

#[tokio::test]
async fn the_catalogues_http_side_answers_nobody_without_the_service_secret() {
    let settings = settings();
    let url = format!("{}/items/test", settings["HOLDFAST_CATALOG_URL"]);

    for secret in ["", "wrong", &format!("{}x", settings["HOLDFAST_SERVICE_SECRET"])] {
        let reply = Client::new().get(&url).bearer_auth(secret).send().await.unwrap();
        assert_eq!(reply.status(), 404, "{secret:?}");
    }
    assert_eq!(ask(Method::GET, "/items/test").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_item_can_be_changed_and_a_hold_keeps_the_price_it_was_made_at() {
    let (pool, item) = (database("CATALOG"), item_of(1).await);
    let before = wish(booking(), &item);
    hold(&pool, &before).await.unwrap();

    let path = format!("/items/test/{}", item.number);
    let changed = ask(Method::PATCH, &path).json(&json!({ "price": won(900) })).send().await.unwrap();
    let changed: Value = changed.json().await.unwrap();

    assert_eq!((&changed["price"]["amount_minor"], &changed["version"]), (&json!(900), &json!(2)));
    assert_eq!(hold(&pool, &before).await.unwrap(), held());
    assert_eq!(ask(Method::PATCH, "/items/test/99999999").json(&json!({})).send().await.unwrap().status(), 404);
}
