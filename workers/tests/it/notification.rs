//! `notification.send`: one message per booking and stage.

use crate::world::{booking, database};
use futures::future::join_all;
use workers::notification::{Post, send};
use workflows::contracts::notification::{Money, Notice};

#[tokio::test]
async fn a_stage_is_told_once_however_often_it_is_asked_for() {
    let post = Post { pool: database("NOTIFICATION"), mail: None, text: None };
    let notice = Notice {
        booking: booking(),
        system: "ebook".to_owned(),
        stage: "paid".to_owned(),
        customer: "c".parse().unwrap(),
        item: 0,
        item_name: Some("Hello, JAVA".to_owned()),
        reason: None,
        money: Money::NotTaken,
        was_told: false,
    };
    let next = Notice { stage: "approved".to_owned(), ..notice.clone() };

    for outcome in join_all((0..8).map(|_| send(&post, &notice))).await {
        outcome.unwrap();
    }
    send(&post, &next).await.unwrap();

    let query = "select stage, text from messages where booking = $1 order by stage desc";
    let rows = post.pool.get().await.unwrap().query(query, &[&notice.booking.0]).await.unwrap();
    let told: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(told.iter().map(|(stage, _)| stage.as_str()).collect::<Vec<_>>(), ["paid", "approved"]);
    assert!(told[0].1.contains("Hello, JAVA"), "{told:?}");
}

/// What is said about the money is what became of it.
#[tokio::test]
async fn a_customer_whose_request_is_turned_back_hears_what_became_of_their_money() {
    let post = Post { pool: database("NOTIFICATION"), mail: None, text: None };
    for (money, words) in [
        (Money::NotTaken, "Nothing was charged."),
        (Money::Refunded, "has been refunded."),
        (Money::WrittenOff, "was not refunded."),
    ] {
        let notice = Notice {
            booking: booking(),
            system: "ebook".to_owned(),
            stage: "undone".to_owned(),
            customer: "c".parse().unwrap(),
            item: 0,
            item_name: Some("Hello, JAVA".to_owned()),
            reason: Some("rejected".to_owned()),
            money,
            was_told: false,
        };
        send(&post, &notice).await.unwrap();

        let query = "select text from messages where booking = $1";
        let text: String = post.pool.get().await.unwrap().query_one(query, &[&notice.booking.0]).await.unwrap().get(0);
        assert!(text.contains(words), "{money:?}: {text}");
    }
}
