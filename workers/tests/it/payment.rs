//! `payment.charge` and `payment.refund`: at most one capture and one refund per booking, and a ledger that agrees with the
//! provider, whatever gets lost in between.

use crate::world::{Provider as Process, booking, charge_request, database, won};
use chrono::{DateTime, TimeDelta, Utc};
use dev::simulator::{
    books::Status,
    faults::{After, Before, Fault, Operation},
};
use futures::future::join_all;
use process::breaker::Breaker;
use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};
use workers::payment::{
    Desk, Guarded, Ledger, Simulator, Unknown, guarded,
    provider::{Cancelled, Captured, Charged, Error, Order, Page, Provider, Refunded},
};
use workflows::{
    booking::{BookingId, Subject},
    contracts::{
        ByHand, Due, Settled, Stand, Standing,
        payment::{Cause, ChargeAnswer, ChargeRequest, ComparePage, Discrepancy, Whose},
        recovery::OpenAfter,
    },
};

async fn desk() -> (Desk<Simulator>, Process) {
    let process = Process::start().await;
    let provider = Simulator::new(&process.url).unwrap();
    (Desk { ledger: Ledger::new(database("PAYMENT")), provider }, process)
}

/// What the ledger has kept for a booking.
async fn kept(booking: BookingId) -> i64 {
    let sums = "select coalesce(sum(amount_minor), 0)::bigint, \
                coalesce(sum(amount_minor) filter (where account = 'bookings'), 0)::bigint from postings where booking = $1";
    let row = database("PAYMENT").get().await.unwrap().query_one(sums, &[&booking.0]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0, "double entry adds up to zero");
    row.get(1)
}

async fn state(booking: BookingId) -> String {
    let query = "select state from charges where booking = $1";
    database("PAYMENT").get().await.unwrap().query_one(query, &[&booking.0]).await.unwrap().get(0)
}

/// What the provider has kept in all, and how many charges it has in its books.
async fn provider_kept(process: &Process) -> (i64, usize) {
    let books = process.books().await;
    let captured = books.iter().filter(|charge| charge.status == Status::Captured).map(|charge| charge.amount_minor);
    (captured.sum(), books.iter().filter(|charge| charge.reference.is_some()).count())
}

/// INV-2, X3.
#[tokio::test]
async fn a_repeated_charge_and_a_repeated_refund_count_once() {
    let (desk, process) = desk().await;
    let booking = booking();

    for _ in 0..3 {
        assert_eq!(desk.charge(&charge_request(booking)).await.unwrap(), ChargeAnswer::Captured);
    }
    assert_eq!((kept(booking).await, provider_kept(&process).await), (3000, (3000, 1)));
    for _ in 0..3 {
        assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Done);
    }

    assert_eq!((kept(booking).await, provider_kept(&process).await), (0, (0, 1)));
    assert_eq!(desk.charge(&charge_request(booking)).await.unwrap(), ChargeAnswer::Closed);
    assert_eq!(provider_kept(&process).await, (0, 1));
}

#[tokio::test]
async fn charges_of_one_booking_at_the_same_time_count_once() {
    let (desk, process) = desk().await;
    let booking = booking();

    let answers = join_all((0..10).map(|_| async { desk.charge(&charge_request(booking)).await })).await;

    for answer in answers {
        assert_eq!(answer.unwrap(), ChargeAnswer::Captured);
    }
    assert_eq!((kept(booking).await, provider_kept(&process).await), (3000, (3000, 1)));
}

/// What is known needs no provider: also while it is left alone, whoever asks again hears it.
#[tokio::test]
async fn a_charge_that_is_known_is_answered_while_the_provider_is_left_alone() {
    let process = Process::start().await;
    let breaker = Arc::new(Breaker::new("a test's provider", guarded::Settings::default().breaker));
    let provider = Guarded::new(Simulator::new(&process.url).unwrap(), breaker.clone(), NonZeroU32::MAX);
    let desk = Desk { ledger: Ledger::new(database("PAYMENT")), provider };
    let (known, new) = (booking(), booking());
    assert_eq!(desk.charge(&charge_request(known)).await.unwrap(), ChargeAnswer::Captured);
    breaker.pause(true);
    assert_eq!(desk.charge(&charge_request(known)).await.unwrap(), ChargeAnswer::Captured);
    let resting = desk.charge(&charge_request(new)).await.expect_err("nobody is asked");
    assert!(matches!(resting, Unknown::Provider(Error::Resting(_))), "{resting:?}");
    // Who was sent away is in no doubt.
    assert_eq!(desk_state(new).await, None);
}

#[tokio::test]
async fn a_decline_is_remembered_and_leaves_nothing() {
    let (desk, process) = desk().await;
    let booking = booking();
    let poor = ChargeRequest { method: Some("declined".to_owned()), ..charge_request(booking) };
    let declined = ChargeAnswer::Declined { reason: "insufficient_funds".to_owned() };

    assert_eq!(desk.charge(&poor).await.unwrap(), declined);
    assert_eq!(
        desk.charge(&charge_request(booking)).await.unwrap(),
        declined,
        "the first answer, also for a better card"
    );

    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Nothing);
    assert_eq!((kept(booking).await, provider_kept(&process).await), (0, (0, 0)));
}

/// P1: our tables were restored from a backup. What was captured is taken over from the provider's books, once, and refunded once;
/// what they do not know of is never charged.
#[tokio::test]
async fn what_our_tables_have_lost_is_taken_over_from_the_provider() {
    let (desk, process) = desk().await;
    let (booking, unknown) = (booking(), booking());
    desk.charge(&charge_request(booking)).await.unwrap();
    lose(booking).await;

    let again = |booking| ChargeRequest { was_captured: true, ..charge_request(booking) };
    let reason = "unknown_at_provider".to_owned();
    assert_eq!(desk.charge(&again(unknown)).await.unwrap(), ChargeAnswer::Declined { reason });
    assert_eq!(desk_state(unknown).await, None, "it may be asked for again");
    assert_eq!(desk.ledger.stands(&[booking, unknown]).await.unwrap(), []);
    for _ in 0..2 {
        assert_eq!(desk.charge(&again(booking)).await.unwrap(), ChargeAnswer::Captured);
    }
    assert_eq!((kept(booking).await, provider_kept(&process).await), (3000, (3000, 1)));
    let stands = |standing| vec![Stand { booking, standing }];
    assert_eq!(desk.ledger.stands(&[booking]).await.unwrap(), stands(Standing::Done));
    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Done);
    assert_eq!(desk.ledger.stands(&[booking]).await.unwrap(), stands(Standing::Back));

    // Lost once more, with the refund: that it was given back is known there too.
    lose(booking).await;
    assert_eq!(desk.charge(&again(booking)).await.unwrap(), ChargeAnswer::Captured);
    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Done);
    assert_eq!((kept(booking).await, provider_kept(&process).await), (0, (0, 1)));
}

/// P1: a refund that finds no charge in our tables does not take that for a proof.
#[tokio::test]
async fn a_refund_of_what_our_tables_have_lost_gives_the_money_back() {
    let (desk, process) = desk().await;
    let booking = booking();
    desk.charge(&charge_request(booking)).await.unwrap();
    lose(booking).await;

    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Done);
    assert_eq!((kept(booking).await, provider_kept(&process).await), (0, (0, 1)));
}

/// As if the tables had been restored from a backup that is older than a booking.
async fn lose(booking: BookingId) {
    let client = database("PAYMENT").get().await.unwrap();
    let lose = format!(
        "alter table postings disable trigger append_only; delete from postings where booking = '{booking}'; \
         alter table postings enable trigger append_only; delete from charges where booking = '{booking}'"
    );
    client.batch_execute(&lose).await.unwrap();
}

/// P2, X8, and the reason for the look-up: the provider has forgotten the key by the time we ask again.
#[tokio::test]
async fn a_lost_answer_is_looked_up_even_when_the_provider_has_forgotten_the_key() {
    for after in [After::DropReply, After::Error] {
        let process = Process::forgetting_keys_after(Duration::ZERO).await;
        let provider = Simulator::new(&process.url).unwrap();
        let desk = Desk { ledger: Ledger::new(database("PAYMENT")), provider };
        let booking = booking();
        let fault =
            Fault { operation: Some(Operation::Charge), after: Some(after), times: Some(1), ..Fault::default() };
        process.fault(fault).await;

        desk.charge(&charge_request(booking)).await.expect_err("the answer was lost");
        assert_eq!((state(booking).await.as_str(), kept(booking).await), ("intended", 0));
        assert_eq!(desk.charge(&charge_request(booking)).await.unwrap(), ChargeAnswer::Captured);

        assert_eq!((kept(booking).await, provider_kept(&process).await), (3000, (3000, 1)), "{after:?}");
    }
}

/// P2: undo first, charge late.
#[tokio::test]
async fn a_refund_that_comes_first_refuses_the_late_charge() {
    let (desk, process) = desk().await;
    let booking = booking();

    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Nothing);

    assert_eq!(desk.charge(&charge_request(booking)).await.unwrap(), ChargeAnswer::Closed);
    assert_eq!((kept(booking).await, provider_kept(&process).await), (0, (0, 0)));
}

/// P2: the charge is on its way to the provider when the undo overtakes it.
#[tokio::test]
async fn a_charge_that_is_overtaken_by_its_undo_leaves_nothing() {
    let (desk, process) = desk().await;
    let booking = booking();
    let slow = Fault { operation: Some(Operation::Charge), delay_ms: Some((400, 400)), ..Fault::default() };
    process.fault(slow).await;

    let request = charge_request(booking);
    let (charged, refunded) = tokio::join!(desk.charge(&request), async {
        // As soon as the intent is written, the charge is on its way.
        while desk_state(booking).await.is_none() {}
        desk.refund(&Due::of(booking)).await
    });

    assert_eq!(charged.unwrap(), ChargeAnswer::Closed);
    assert_eq!(refunded.unwrap(), Settled::Nothing);
    assert_eq!((kept(booking).await, provider_kept(&process).await), (0, (0, 0)));
    assert_eq!(state(booking).await, "voided");
}

async fn desk_state(booking: BookingId) -> Option<String> {
    let query = "select state from charges where booking = $1";
    let row = database("PAYMENT").get().await.unwrap().query_opt(query, &[&booking.0]).await.unwrap();
    row.map(|row| row.get(0))
}

/// P1, P2: captured, its answer lost, and then undone: it was taken, so it goes back.
#[tokio::test]
async fn a_charge_in_doubt_that_was_taken_is_refunded() {
    let (desk, process) = desk().await;
    let booking = booking();
    process
        .fault(Fault { operation: Some(Operation::Charge), after: Some(After::DropReply), ..Fault::default() })
        .await;
    desk.charge(&charge_request(booking)).await.expect_err("the answer was lost");

    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Done);

    assert_eq!((kept(booking).await, provider_kept(&process).await), (0, (0, 1)));
    assert_eq!(state(booking).await, "refunded");
}

/// P1: the refund's answer is lost, twice. It is refunded once.
#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_found() {
    let (desk, process) = desk().await;
    let booking = booking();
    desk.charge(&charge_request(booking)).await.unwrap();
    let lost =
        Fault { operation: Some(Operation::Refund), after: Some(After::DropReply), times: Some(1), ..Fault::default() };
    process.fault(lost).await;

    desk.refund(&Due::of(booking)).await.expect_err("the answer was lost");
    assert_eq!((state(booking).await.as_str(), kept(booking).await), ("refunding", 3000), "not known yet");
    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Done);

    assert_eq!((kept(booking).await, provider_kept(&process).await), (0, (0, 1)));
}

/// P4: a refused refund is an answer; the money is still there, and so is the way out.
#[tokio::test]
async fn a_refused_refund_keeps_the_money_on_the_books_until_it_goes_through() {
    let (desk, process) = desk().await;
    let booking = booking();
    desk.charge(&charge_request(booking)).await.unwrap();
    process.fault(Fault { refuse_refunds: true, times: Some(1), ..Fault::default() }).await;

    let refused = Settled::Refused { reason: "refund_refused".to_owned() };
    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), refused);
    assert_eq!(kept(booking).await, 3000);
    assert_eq!(
        desk.charge(&charge_request(booking)).await.unwrap(),
        ChargeAnswer::Closed,
        "closed to charging from the start"
    );

    assert_eq!(desk.refund(&Due::of(booking)).await.unwrap(), Settled::Done);
    assert_eq!((kept(booking).await, provider_kept(&process).await), (0, (0, 1)));
}

/// Somebody gave the money back at the provider while its answer was lost: it is not counted as ours.
#[tokio::test]
async fn a_charge_that_was_refunded_at_the_provider_is_not_taken_for_paid() {
    let (desk, process) = desk().await;
    let booking = booking();
    process
        .fault(Fault { operation: Some(Operation::Charge), after: Some(After::DropReply), ..Fault::default() })
        .await;
    desk.charge(&charge_request(booking)).await.expect_err("the answer was lost");
    let captured = process.client.find(&booking.to_string()).await.unwrap().unwrap();
    process.client.refund(&booking.to_string(), &captured).await.unwrap();

    let answer = desk.charge(&charge_request(booking)).await.unwrap();

    assert_eq!(answer, ChargeAnswer::Declined { reason: "refunded_at_provider".to_owned() });
    assert_eq!((kept(booking).await, provider_kept(&process).await), (0, (0, 1)));
}

/// A provider that cannot refuse a late charge.
struct NoCancel {
    provider: Simulator,
    settle_window: Duration,
}

impl Provider for NoCancel {
    async fn charge(&self, order: &Order) -> Result<Charged, Error> {
        self.provider.charge(order).await
    }

    async fn find(&self, key: &str) -> Result<Option<Captured>, Error> {
        self.provider.find(key).await
    }

    async fn cancel(&self, _: &str) -> Result<Cancelled, Error> {
        Ok(Cancelled::Unsupported { settle_window: self.settle_window })
    }

    async fn refund(&self, key: &str, captured: &Captured) -> Result<Refunded, Error> {
        self.provider.refund(key, captured).await
    }

    async fn list(&self, since: DateTime<Utc>, after: Option<&str>) -> Result<Page, Error> {
        self.provider.list(since, after).await
    }
}

/// P2: where a provider cannot cancel, *unknown* lasts until no charge can arrive any more.
#[tokio::test]
async fn without_cancel_a_charge_in_doubt_is_looked_up_through_its_settle_window() {
    let process = Process::start().await;
    let desk = |settle_window| Desk {
        ledger: Ledger::new(database("PAYMENT")),
        provider: NoCancel { provider: Simulator::new(&process.url).unwrap(), settle_window },
    };
    let (late, never) = (booking(), booking());
    let lost =
        Fault { operation: Some(Operation::Charge), before: Some(Before::Error), times: Some(2), ..Fault::default() };
    process.fault(lost).await;
    let patient = desk(Duration::from_hours(1));
    for booking in [late, never] {
        patient.charge(&charge_request(booking)).await.expect_err("no answer");
        let unknown = patient.refund(&Due::of(booking)).await.expect_err("not known yet");
        assert!(matches!(unknown, Unknown::Settling), "{unknown:?}");
    }

    // It arrives after all, and goes back.
    let order = Order { key: late.to_string(), customer: "c".to_owned(), amount: won(3000), method: None };
    patient.provider.charge(&order).await.unwrap();
    assert_eq!(patient.refund(&Due::of(late)).await.unwrap(), Settled::Done);
    // It never does, and the window passes.
    assert_eq!(desk(Duration::ZERO).refund(&Due::of(never)).await.unwrap(), Settled::Nothing);

    assert_eq!((kept(late).await, kept(never).await, provider_kept(&process).await), (0, 0, (0, 1)));
}

/// P1: the ledger cannot be brought out of balance, or rewritten.
#[tokio::test]
async fn the_ledger_refuses_one_sided_and_changed_postings() {
    let (desk, _process) = desk().await;
    let booking = booking();
    desk.charge(&charge_request(booking)).await.unwrap();
    let client = database("PAYMENT").get().await.unwrap();
    let one_sided = "insert into postings (booking, movement, account, amount_minor, currency) \
                     values ($1, 'refund', 'customer', 3000, 'KRW')";

    for (statement, what) in [
        (one_sided, "one-sided"),
        ("update postings set amount_minor = 0 where booking = $1", "changed"),
        ("delete from postings where booking = $1", "deleted"),
    ] {
        client.execute(statement, &[&booking.0]).await.expect_err(what);
    }

    assert_eq!(kept(booking).await, 3000);
}

/// An operator's word, at the worker itself: whatever the saga lets through, money is not lost here.
#[tokio::test]
async fn a_refund_by_hand_is_looked_up_and_a_write_off_is_exact_and_final() {
    let (desk, process) = desk().await;
    let (first, second) = (booking(), booking());
    for one in [first, second] {
        desk.charge(&charge_request(one)).await.unwrap();
    }
    let by_hand = |booking, by_hand| Due { booking, by_hand: Some(by_hand) };
    let resolved = |booking| by_hand(booking, ByHand::Resolved { reference: "re_1".to_owned() });
    let written_off = |booking, amount| by_hand(booking, ByHand::WrittenOff { amount: won(amount) });
    let refused = |reason: &str| Settled::Refused { reason: reason.to_owned() };

    assert_eq!(desk.refund(&resolved(first)).await.unwrap(), refused("not_refunded_at_provider"));
    assert_eq!(desk.refund(&written_off(first, 2999)).await.unwrap(), refused("amount_differs"));
    assert_eq!(kept(first).await, 3000, "nothing has happened");
    assert_eq!(desk.refund(&written_off(first, 3000)).await.unwrap(), Settled::GivenUp);
    assert_eq!(desk.refund(&written_off(first, 3000)).await.unwrap(), Settled::GivenUp, "a repeat");
    assert_eq!(desk.refund(&Due::of(first)).await.unwrap(), Settled::GivenUp, "given up is given up");
    assert_eq!((kept(first).await, provider_kept(&process).await.0), (0, 6000), "the provider still has it");

    // It went back while somebody was about to give it up.
    assert_eq!(desk.refund(&Due::of(second)).await.unwrap(), Settled::Done);
    assert_eq!(desk.refund(&written_off(second, 3000)).await.unwrap(), refused("refunded_meanwhile"));
    assert_eq!(desk.refund(&resolved(second)).await.unwrap(), Settled::Done);
    // Nobody was ever charged: there is nothing to give up.
    assert_eq!(desk.refund(&written_off(booking(), 3000)).await.unwrap(), Settled::Nothing);
}

/// P2: while a refund may still take effect at the provider, the money is not given up beside it. One that was refused is
/// not on its way.
#[tokio::test]
async fn money_whose_refund_is_on_its_way_cannot_be_written_off() {
    let (desk, process) = desk().await;
    let (lost, refused) = (booking(), booking());
    for one in [lost, refused] {
        desk.charge(&charge_request(one)).await.unwrap();
    }
    let write_off = |booking| Due { booking, by_hand: Some(ByHand::WrittenOff { amount: won(3000) }) };
    let hanging =
        Fault { key: Some(lost.to_string()), before: Some(Before::Error), times: Some(1), ..Fault::default() };
    process.fault(hanging).await;
    process.fault(Fault { refuse_refunds: true, key: Some(refused.to_string()), ..Fault::default() }).await;

    desk.refund(&Due::of(lost)).await.expect_err("nobody knows whether it was refunded");
    assert!(matches!(desk.refund(&write_off(lost)).await, Err(Unknown::Settling)));
    assert_eq!((state(lost).await.as_str(), kept(lost).await), ("refunding", 3000));
    assert_eq!(desk.refund(&Due::of(lost)).await.unwrap(), Settled::Done, "it is asked for again as before");

    assert!(matches!(desk.refund(&Due::of(refused)).await.unwrap(), Settled::Refused { .. }));
    assert_eq!(desk.refund(&write_off(refused)).await.unwrap(), Settled::GivenUp);
}

/// P5: what a recovery is told.
#[tokio::test]
async fn open_charges_are_listed_until_they_are_given_back_or_earned() {
    let (desk, _process) = desk().await;
    let (open, earned, back) = (booking(), booking(), booking());
    for one in [open, earned, back] {
        desk.charge(&charge_request(one)).await.unwrap();
    }
    desk.refund(&Due::of(back)).await.unwrap();
    let listed = async || {
        let mut page = OpenAfter { after: None, seconds: 0 };
        let mut found = Vec::new();
        loop {
            let claims = desk.ledger.open_charges(&page).await.unwrap().claims;
            let Some(last) = claims.last() else { return found };
            page.after = Some(last.booking);
            found.extend(claims.into_iter().filter(|claim| [open, earned, back].contains(&claim.booking)));
        }
    };

    let mut bookings: Vec<_> = listed().await.iter().map(|claim| claim.booking).collect();
    bookings.sort_unstable();
    let mut expected = [open, earned];
    expected.sort_unstable();
    assert_eq!(bookings, expected);
    desk.ledger.keep(&[earned, back]).await.unwrap();

    let left = listed().await;
    assert_eq!(left.iter().map(|claim| claim.booking).collect::<Vec<_>>(), [open]);
    assert_eq!(left[0].customer.as_ref().map(Subject::as_str), Some("c"));
    let young = desk.ledger.open_charges(&OpenAfter { after: None, seconds: 3600 }).await.unwrap().claims;
    assert!(!young.iter().any(|claim| claim.booking == open), "too young to be looked for");
}

/// What a comparison finds among some bookings, page by page from both sides.
async fn compared<P: Provider>(desk: &Desk<P>, since: DateTime<Utc>, among: &[BookingId]) -> BTreeMap<String, Cause> {
    let mut found = BTreeMap::new();
    for whose in [Whose::Ours, Whose::Theirs] {
        let mut after = None;
        loop {
            let page = desk.compare(&ComparePage { whose, since, after }).await.unwrap();
            for Discrepancy { key, cause, .. } in page.differences {
                if among.iter().any(|booking| booking.to_string() == key) {
                    let before = found.insert(key, cause);
                    assert!(before.is_none_or(|before| before == cause), "both sides say {cause:?}");
                }
            }
            after = page.after;
            if after.is_none() {
                break;
            }
        }
    }
    found
}

/// P3: whatever our ledger and the provider's books do not agree on is named, with its cause; what agrees is not.
#[tokio::test]
async fn the_ledger_and_the_providers_books_are_compared_from_both_sides() {
    let process = Process::forgetting_keys_after(Duration::ZERO).await;
    let desk = Desk { ledger: Ledger::new(database("PAYMENT")), provider: Simulator::new(&process.url).unwrap() };
    let since = Utc::now() - TimeDelta::seconds(1);
    // More than a page, all in order.
    let agreed: Vec<_> = (0..25).map(|_| booking()).collect();
    for booking in &agreed {
        desk.charge(&charge_request(*booking)).await.unwrap();
    }
    desk.refund(&Due::of(agreed[0])).await.unwrap();
    assert_eq!(compared(&desk, since, &agreed).await, BTreeMap::new());

    let all: Vec<_> = (0..6).map(|_| booking()).collect();
    let [given_back, lost, failed_later, twice, gone, less] = all[..] else { unreachable!() };
    for booking in &all[..5] {
        desk.charge(&charge_request(*booking)).await.unwrap();
    }
    process.refund_by_hand(given_back).await;
    lose(lost).await;
    let set = async |booking: BookingId, what: &str| {
        let client = database("PAYMENT").get().await.unwrap();
        client.execute(&format!("update charges set {what} where booking = $1"), &[&booking.0]).await.unwrap();
    };
    set(failed_later, "state = 'refunded', refunded_at = now()").await;
    let order = Order { key: twice.to_string(), customer: "c".to_owned(), amount: won(3000), method: None };
    process.client.charge(&order).await.unwrap();
    desk.charge(&charge_request(less)).await.unwrap();
    set(less, "amount_minor = 2000").await;

    let expected = BTreeMap::from([
        (given_back.to_string(), Cause::RefundedAtProvider),
        (lost.to_string(), Cause::UnknownToUs),
        (failed_later.to_string(), Cause::NotRefundedAtProvider),
        (twice.to_string(), Cause::ChargedTwice),
        (less.to_string(), Cause::AmountDiffers),
    ]);
    assert_eq!(
        compared(&desk, since, &[&agreed[..], &[given_back, lost, failed_later, twice, less]].concat()).await,
        expected
    );
    let nowhere = Desk {
        ledger: Ledger::new(database("PAYMENT")),
        provider: Simulator::new(&Process::start().await.url).unwrap(),
    };
    assert_eq!(
        compared(&nowhere, since, &[gone]).await,
        BTreeMap::from([(gone.to_string(), Cause::UnknownAtProvider)])
    );
}
