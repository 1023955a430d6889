//! What a bad day brings, for each queue.

use super::Kit;
use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use uuid::Uuid;

/// One promise, and how it is put to the test.
pub(super) struct Case {
    pub name: &'static str,
    /// What the contract says.
    pub promise: &'static str,
    pub run: for<'a> fn(&'a Kit) -> BoxFuture<'a, Result<(), String>>,
}

macro_rules! case {
    ($name:literal, $promise:expr, |$kit:ident| $body:block) => {
        Case { name: $name, promise: $promise, run: |$kit| async move { $body }.boxed() }
    };
}

const SEND: &str = "notification.send";
const TOLD: &str = "notification.told";
const HOLD: &str = "catalog.hold";
const RELEASE: &str = "catalog.release";
const CONFIRM: &str = "catalog.confirm";
const HELD: &str = "catalog.stands";
const CHARGE: &str = "payment.charge";
const REFUND: &str = "payment.refund";
const CHARGED: &str = "payment.stands";

const REPEATS: &str = "A repeat gives the first answer and does nothing twice.";
const EARLY: &str = "An undo that comes before its step closes the key: the step is then refused.";
const KNOWN: &str = "What was answered is known, and can be told again where the tables have lost it.";
const TOLERANT: &str = "Unknown fields are ignored, missing optional ones are fine.";
const SENSE: &str = "Input that makes no sense is an error, never an answer; and the worker goes on.";

pub(super) const NOTIFICATION: &[Case] = &[
    case!("a notice is answered, and the customer is told", "One message for each booking and stage.", |kit| {
        let booking = Uuid::now_v7();
        kit.answer(SEND, notice(booking, "paid")).await?;
        told(kit, booking, &["paid"]).await
    }),
    case!("a repeat is answered, and tells nothing again", REPEATS, |kit| {
        let booking = Uuid::now_v7();
        for _ in 0..3 {
            kit.answer(SEND, notice(booking, "paid")).await?;
        }
        told(kit, booking, &["paid"]).await
    }),
    case!("repeats at the same moment tell once", REPEATS, |kit| {
        let booking = Uuid::now_v7();
        kit.together(SEND, &notice(booking, "paid")).await?;
        told(kit, booking, &["paid"]).await
    }),
    case!("another stage of the same booking is told too", "The key is the booking and the stage.", |kit| {
        let booking = Uuid::now_v7();
        for stage in ["paid", "approved", "returned"] {
            kit.answer(SEND, notice(booking, stage)).await?;
        }
        told(kit, booking, &["approved", "paid", "returned"]).await
    }),
    case!("a notice that comes after a later one is told too", "The key is the booking and the stage.", |kit| {
        let booking = Uuid::now_v7();
        for stage in ["returned", "paid", "returned", "paid"] {
            kit.answer(SEND, notice(booking, stage)).await?;
        }
        told(kit, booking, &["paid", "returned"]).await
    }),
    case!("another booking's notice is another one", "The key is the booking and the stage.", |kit| {
        let bookings = [Uuid::now_v7(), Uuid::now_v7()];
        for booking in bookings {
            kit.answer(SEND, notice(booking, "paid")).await?;
        }
        for booking in bookings {
            told(kit, booking, &["paid"]).await?;
        }
        Ok(())
    }),
    case!("a repeat with other words is the same notice", REPEATS, |kit| {
        let booking = Uuid::now_v7();
        kit.answer(SEND, notice(booking, "paid")).await?;
        kit.answer(SEND, with(notice(booking, "paid"), "item_name", json!("Another name"))).await?;
        told(kit, booking, &["paid"]).await
    }),
    case!("fields that are new are ignored", TOLERANT, |kit| {
        let booking = Uuid::now_v7();
        kit.answer(SEND, with(notice(booking, "paid"), "from_tomorrow", json!({ "a": [1, 2] }))).await?;
        told(kit, booking, &["paid"]).await
    }),
    case!("it is known who was told of what, and what was told before is not told again", KNOWN, |kit| {
        let (booking, before) = (Uuid::now_v7(), Uuid::now_v7());
        kit.answer(SEND, notice(booking, "paid")).await?;
        kit.answer(SEND, with(notice(before, "paid"), "was_told", json!(true))).await?;
        let known = kit.answer(TOLD, json!([booking, before, Uuid::now_v7()])).await?;
        for booking in [booking, before] {
            let heard = json!({ "booking": booking, "stages": ["paid"] });
            if !known.as_array().is_some_and(|known| known.contains(&heard)) {
                return Err(format!("{known} does not say {heard}"));
            }
        }
        Ok(())
    }),
    case!("fields that are optional may be missing", TOLERANT, |kit| {
        let booking = Uuid::now_v7();
        let bare = json!({ "booking": booking, "system": "ebook", "stage": "paid", "customer": "conformance" });
        kit.answer(SEND, bare).await?;
        told(kit, booking, &["paid"]).await
    }),
    case!("input that makes no sense is an error", SENSE, |kit| {
        let booking = Uuid::now_v7();
        let mut nonsense = nonsense(&notice(booking, "paid"), &["booking", "system", "stage", "customer"]);
        nonsense.push(with(notice(booking, "paid"), "stage", json!(7)));
        kit.refuses(SEND, &nonsense).await?;
        told(kit, booking, &[]).await?;
        kit.answer(SEND, notice(booking, "paid")).await?;
        told(kit, booking, &["paid"]).await
    }),
];

pub(super) const CATALOG: &[Case] = &[
    case!("a hold is granted with name and price, and a repeat gets the same", REPEATS, |kit| {
        let booking = Uuid::now_v7();
        let held = kit.expect(HOLD, hold(kit, booking), "held").await?;
        let again = kit.answer(HOLD, hold(kit, booking)).await?;
        free(kit, booking).await?;
        same(&held, &again)
    }),
    case!("the same hold at the same moment is one", REPEATS, |kit| {
        let booking = Uuid::now_v7();
        let held = kit.together(HOLD, &hold(kit, booking)).await?;
        free(kit, booking).await?;
        if held["answer"] == "held" { Ok(()) } else { Err(format!("it was answered {held}")) }
    }),
    case!(
        "what somebody has, another does not get, until it is released",
        "One unit is held by one booking at any moment.",
        |kit| {
            let (one, other, third) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
            kit.expect(HOLD, hold(kit, one), "held").await?;
            kit.expect(HOLD, hold(kit, other), "taken").await?;
            kit.expect(HOLD, hold(kit, other), "taken").await?;
            free(kit, one).await?;
            kit.expect(HOLD, hold(kit, third), "held").await?;
            kit.expect(HOLD, hold(kit, other), "taken").await?;
            free(kit, third).await
        }
    ),
    case!("a release is repeated without harm", REPEATS, |kit| {
        let booking = Uuid::now_v7();
        kit.expect(HOLD, hold(kit, booking), "held").await?;
        let done = kit.together(RELEASE, &due(booking)).await?;
        if done["answer"] == "done" { Ok(()) } else { Err(format!("it was answered {done}")) }
    }),
    case!("a release that comes first closes the key", EARLY, |kit| {
        let booking = Uuid::now_v7();
        kit.expect(RELEASE, due(booking), "nothing").await?;
        kit.expect(HOLD, hold(kit, booking), "closed").await?;
        kit.expect(RELEASE, due(booking), "nothing").await.map(drop)
    }),
    case!("a hold that comes again after its release is refused", EARLY, |kit| {
        let booking = Uuid::now_v7();
        kit.expect(HOLD, hold(kit, booking), "held").await?;
        free(kit, booking).await?;
        kit.expect(HOLD, hold(kit, booking), "closed").await.map(drop)
    }),
    case!("a hold is made firm, also twice", REPEATS, |kit| {
        let booking = Uuid::now_v7();
        kit.expect(HOLD, hold(kit, booking), "held").await?;
        for _ in 0..2 {
            kit.expect(CONFIRM, due(booking), "done").await?;
        }
        free(kit, booking).await
    }),
    case!("it is known how far a hold is, and what was held before is held under that price", KNOWN, |kit| {
        let booking = Uuid::now_v7();
        let was = json!({ "name": "as it was", "price": { "amount_minor": 7, "currency": "KRW" } });
        kit.stands(HELD, booking, "nothing").await?;
        let held = kit.expect(HOLD, with(hold(kit, booking), "was_held", was.clone()), "held").await?;
        kit.stands(HELD, booking, "done").await?;
        kit.expect(CONFIRM, due(booking), "done").await?;
        kit.stands(HELD, booking, "firm").await?;
        free(kit, booking).await?;
        kit.stands(HELD, booking, "back").await?;
        same(&json!([held["name"], held["price"]]), &json!([was["name"], was["price"]]))
    }),
    case!("what is not listed is a refusal, and stays one", "A refusal is an answer.", |kit| {
        let booking = Uuid::now_v7();
        let unknown = with(hold(kit, booking), "item", json!({ "system": "ebook", "number": i64::MAX }));
        for _ in 0..2 {
            kit.expect(HOLD, unknown.clone(), "unknown_item").await?;
        }
        Ok(())
    }),
    case!("fields that are new are ignored", TOLERANT, |kit| {
        let booking = Uuid::now_v7();
        kit.expect(HOLD, with(hold(kit, booking), "from_tomorrow", json!([1])), "held").await?;
        free(kit, booking).await
    }),
    case!("input that makes no sense is an error", SENSE, |kit| {
        let booking = Uuid::now_v7();
        kit.refuses(HOLD, &nonsense(&hold(kit, booking), &["booking", "workflow", "item"])).await?;
        kit.refuses(RELEASE, &nonsense(&due(booking), &["booking"])).await?;
        kit.expect(HOLD, hold(kit, booking), "held").await?;
        free(kit, booking).await
    }),
];

pub(super) const PAYMENT: &[Case] = &[
    case!("a charge is captured once, however often it is asked for", REPEATS, |kit| {
        let booking = Uuid::now_v7();
        for _ in 0..3 {
            kit.expect(CHARGE, charge(booking, 1000), "captured").await?;
        }
        kit.expect(REFUND, due(booking), "done").await.map(drop)
    }),
    case!("the same charge at the same moment is one", REPEATS, |kit| {
        let booking = Uuid::now_v7();
        let charged = kit.together(CHARGE, &charge(booking, 1000)).await?;
        kit.expect(REFUND, due(booking), "done").await?;
        if charged["answer"] == "captured" { Ok(()) } else { Err(format!("it was answered {charged}")) }
    }),
    case!("a refund is repeated without harm", REPEATS, |kit| {
        let booking = Uuid::now_v7();
        kit.expect(CHARGE, charge(booking, 1000), "captured").await?;
        let done = kit.together(REFUND, &due(booking)).await?;
        if done["answer"] == "done" { Ok(()) } else { Err(format!("it was answered {done}")) }
    }),
    case!("a refund that comes first closes the key", EARLY, |kit| {
        let booking = Uuid::now_v7();
        kit.expect(REFUND, due(booking), "nothing").await?;
        kit.expect(CHARGE, charge(booking, 1000), "closed").await?;
        kit.expect(REFUND, due(booking), "nothing").await.map(drop)
    }),
    case!("a charge that comes again after its refund takes nothing", EARLY, |kit| {
        let booking = Uuid::now_v7();
        kit.expect(CHARGE, charge(booking, 1000), "captured").await?;
        kit.expect(REFUND, due(booking), "done").await?;
        kit.expect(CHARGE, charge(booking, 1000), "closed").await.map(drop)
    }),
    case!("it is known how far a charge is, and what was captured before is looked up and never sent", KNOWN, |kit| {
        let booking = Uuid::now_v7();
        let again = with(charge(booking, 1000), "was_captured", json!(true));
        kit.expect(CHARGE, again.clone(), "declined").await?;
        kit.stands(CHARGED, booking, "nothing").await?;
        kit.expect(CHARGE, charge(booking, 1000), "captured").await?;
        kit.expect(CHARGE, again, "captured").await?;
        kit.stands(CHARGED, booking, "done").await?;
        kit.expect(REFUND, due(booking), "done").await?;
        kit.stands(CHARGED, booking, "back").await
    }),
    case!("nothing to pay is paid", "The sum of zero is captured.", |kit| {
        let booking = Uuid::now_v7();
        kit.expect(CHARGE, charge(booking, 0), "captured").await?;
        kit.expect(REFUND, due(booking), "nothing").await.map(drop)
    }),
    case!("fields that are new are ignored", TOLERANT, |kit| {
        let booking = Uuid::now_v7();
        kit.expect(CHARGE, with(charge(booking, 1000), "from_tomorrow", json!(true)), "captured").await?;
        kit.expect(REFUND, due(booking), "done").await.map(drop)
    }),
    case!("input that makes no sense is an error", SENSE, |kit| {
        let booking = Uuid::now_v7();
        let mut nonsense = nonsense(&charge(booking, 1000), &["booking", "workflow", "customer", "amount"]);
        nonsense.push(charge(booking, -1));
        nonsense.push(with(charge(booking, 1000), "amount", json!({ "amount_minor": 1000, "currency": "gold" })));
        kit.refuses(CHARGE, &nonsense).await?;
        kit.expect(REFUND, due(booking), "nothing").await.map(drop)
    }),
];

fn notice(booking: Uuid, stage: &str) -> Value {
    json!({
        "booking": booking, "system": "ebook", "stage": stage, "customer": "conformance", "item": 1,
        "item_name": "Conformance", "money": "not_taken",
    })
}

fn hold(kit: &Kit, booking: Uuid) -> Value {
    json!({ "booking": booking, "workflow": format!("ebook/{booking}"), "customer": "conformance", "item": kit.item })
}

fn charge(booking: Uuid, amount_minor: i64) -> Value {
    json!({
        "booking": booking, "workflow": format!("ebook/{booking}"), "customer": "conformance",
        "amount": { "amount_minor": amount_minor, "currency": "KRW" },
    })
}

fn due(booking: Uuid) -> Value {
    json!({ "booking": booking })
}

fn with(mut input: Value, field: &str, value: Value) -> Value {
    input[field] = value;
    input
}

/// Good input with each of its needed fields left out, a key that is none, and what is no object at all.
fn nonsense(good: &Value, needed: &[&str]) -> Vec<Value> {
    let without = |field: &&str| {
        let mut input = good.clone();
        if let Some(fields) = input.as_object_mut() {
            fields.remove(*field);
        }
        input
    };
    let others = [with(good.clone(), "booking", json!("not a booking")), json!({}), json!("words"), json!([good])];
    needed.iter().map(without).chain(others).collect()
}

fn same(one: &Value, other: &Value) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("the first answer was {one}, the second {other}")) }
}

async fn free(kit: &Kit, booking: Uuid) -> Result<(), String> {
    kit.expect(RELEASE, due(booking), "done").await.map(drop)
}

async fn told(kit: &Kit, booking: Uuid, expected: &[&str]) -> Result<(), String> {
    let told = kit.told(booking).await?;
    if told == expected { Ok(()) } else { Err(format!("the customer was told {told:?} instead of {expected:?}")) }
}
