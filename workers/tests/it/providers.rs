//! What every payment provider must be able to do: one suite, run for each of them.

use crate::world::{Provider as Process, won};
use chrono::{TimeDelta, Utc};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;
use workers::payment::provider::{Cancelled, Charged, Order, Provider, Refunded};

fn order(amount: i64) -> Order {
    Order { key: Uuid::now_v7().to_string(), customer: "c".to_owned(), amount: won(amount), method: None }
}

/// The whole suite. `declined` is an order that the provider declines.
pub async fn keeps_the_trait(provider: &impl Provider, declined: Order) {
    charges_once_per_key(provider).await;
    finds_what_became_of_a_key(provider).await;
    a_cancelled_key_is_never_charged(provider).await;
    a_charged_key_cannot_be_cancelled(provider).await;
    refunds_once(provider).await;
    a_decline_is_an_answer(provider, declined).await;
    lists_what_was_taken_page_by_page(provider).await;
}

async fn charges_once_per_key(provider: &impl Provider) {
    let order = order(1200);
    let Charged::Captured(first) = provider.charge(&order).await.unwrap() else { panic!("declined") };
    let Charged::Captured(second) = provider.charge(&order).await.unwrap() else { panic!("declined") };
    assert_eq!(first, second);
    assert_eq!((first.amount, first.refunded), (order.amount, false));
}

async fn finds_what_became_of_a_key(provider: &impl Provider) {
    let order = order(1300);
    assert_eq!(provider.find(&order.key).await.unwrap(), None);
    let Charged::Captured(captured) = provider.charge(&order).await.unwrap() else { panic!("declined") };
    assert_eq!(provider.find(&order.key).await.unwrap(), Some(captured));
}

async fn a_cancelled_key_is_never_charged(provider: &impl Provider) {
    let order = order(1400);
    match provider.cancel(&order.key).await.unwrap() {
        Cancelled::Refused => {
            assert!(matches!(provider.charge(&order).await.unwrap(), Charged::Declined { .. }));
            assert_eq!(provider.find(&order.key).await.unwrap(), None);
            assert_eq!(provider.cancel(&order.key).await.unwrap(), Cancelled::Refused);
        }
        Cancelled::Unsupported { settle_window } => assert!(settle_window > Duration::ZERO),
        Cancelled::Captured(captured) => panic!("captured before it was charged: {captured:?}"),
    }
}

async fn a_charged_key_cannot_be_cancelled(provider: &impl Provider) {
    let order = order(1500);
    let Charged::Captured(captured) = provider.charge(&order).await.unwrap() else { panic!("declined") };
    match provider.cancel(&order.key).await.unwrap() {
        Cancelled::Captured(found) => assert_eq!(found, captured),
        Cancelled::Unsupported { .. } => {}
        Cancelled::Refused => panic!("a captured charge was cancelled"),
    }
}

async fn refunds_once(provider: &impl Provider) {
    let order = order(1600);
    let Charged::Captured(captured) = provider.charge(&order).await.unwrap() else { panic!("declined") };
    assert_eq!(provider.refund(&order.key, &captured).await.unwrap(), Refunded::Done);
    assert_eq!(provider.refund(&order.key, &captured).await.unwrap(), Refunded::Done);
    assert!(provider.find(&order.key).await.unwrap().unwrap().refunded);
}

async fn a_decline_is_an_answer(provider: &impl Provider, declined: Order) {
    for _ in 0..2 {
        assert!(matches!(provider.charge(&declined).await.unwrap(), Charged::Declined { .. }));
    }
    assert_eq!(provider.find(&declined.key).await.unwrap(), None);
}

/// More than one page, with a refund and a key that was given up among them.
async fn lists_what_was_taken_page_by_page(provider: &impl Provider) {
    let since = Utc::now() - TimeDelta::seconds(1);
    let mut taken = BTreeMap::new();
    for amount in 2000..2105 {
        let order = order(amount);
        let Charged::Captured(captured) = provider.charge(&order).await.unwrap() else { panic!("declined") };
        taken.insert(order.key, captured);
    }
    let (key, captured) = taken.iter_mut().next().unwrap();
    provider.refund(key, captured).await.unwrap();
    captured.refunded = true;
    let given_up = order(2200).key;
    provider.cancel(&given_up).await.unwrap();

    let (mut listed, mut after, mut pages) = (BTreeMap::new(), None::<String>, 0);
    loop {
        let page = provider.list(since, after.as_deref()).await.unwrap();
        listed.extend(page.taken);
        pages += 1;
        after = page.after;
        if after.is_none() {
            break;
        }
    }
    assert!(pages > 1 && !listed.contains_key(&given_up));
    for (key, captured) in taken {
        assert_eq!(listed.get(&key), Some(&captured), "{key}");
    }
}

#[tokio::test]
async fn the_simulator_keeps_the_trait() {
    let process = Process::start().await;
    keeps_the_trait(&process.client, Order { method: Some("declined".to_owned()), ..order(1) }).await;
    keeps_the_trait(&process.client, order(40_200)).await;
}

/// What makes the look-up by key necessary: keys are forgotten, books are not.
#[tokio::test]
async fn the_simulator_forgets_keys_like_a_real_provider_but_not_its_books() {
    let process = Process::forgetting_keys_after(Duration::ZERO).await;
    let order = order(1700);
    let Charged::Captured(first) = process.client.charge(&order).await.unwrap() else { panic!("declined") };
    // Forgotten from the next millisecond on.
    loop {
        let Charged::Captured(second) = process.client.charge(&order).await.unwrap() else { panic!("declined") };
        if first.reference != second.reference {
            break;
        }
    }

    assert_eq!(process.client.find(&order.key).await.unwrap(), Some(first));
    assert_eq!(process.books().await.len(), 2, "sent twice, charged twice: this is what our ledger must prevent");
}
