//! Races: many members and one book, and a decision, a cancellation and a deadline at the same moment.

use crate::{play, world::World};
use futures::{StreamExt, future::join_all, stream};
use orchestrator::host;
use serde_json::{Value, json};
use std::time::Duration;
use workflows::saga::Limits;

/// P3, EB-W3.
#[tokio::test]
async fn of_a_hundred_members_who_want_one_book_exactly_one_gets_it() {
    let world = World::new();
    let book = world.book().await;
    let members: Vec<_> = (0..100).map(|_| world.person(&[orchestrator::gateway::auth::Role::Member])).collect();
    let body = serde_json::json!({ "bookId": book });

    let replies = join_all(members.iter().map(|member| world.post(member, "/ebook/rents", body.clone()))).await;

    let (held, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 201);
    assert_eq!(held.len(), 1);
    for reply in &refused {
        reply.assert_problem(409, "book_already_rented");
    }
    let rental = held[0].id();
    world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;
    world.assert_agrees(&rental).await;
}

/// P3: a release is addressed by its booking. Repeating it for an old one never frees the new one's book.
#[tokio::test]
async fn ending_an_old_rental_again_never_frees_a_newer_one() {
    let world = World::new();
    let next = World::new();
    let book = world.book().await;
    let old = world.lent(book).await;
    world.bring_back(&old).await.assert_status(200);
    let new = next.paid(book).await;

    world.bring_back(&old).await.assert_status(200);
    world.cancel(&old).await.assert_problem(409, "too_late");
    world.patch(&world.librarian, &format!("/ebook/books/reject/{book}")).await.assert_status(200);

    // Rejected was the newer one, and only that.
    assert_eq!(next.ended(&new).await["reason"], "rejected");
    next.assert_agrees(&new).await;
    world.assert_agrees(&old).await;
}

/// One outcome each, and money and hold agree with it.
#[tokio::test]
async fn a_decision_a_cancellation_and_a_deadline_at_once_have_one_outcome() {
    const RACES: usize = 200;
    let world = World::new();

    let outcomes: Vec<String> = stream::iter(0..RACES)
        .map(|race| {
            let world = &world;
            async move {
                let book = world.book().await;
                // Most deadlines fall among the messages; the first ones are certain to pass first, the last never do.
                let decision = Duration::from_millis(1 + race as u64);
                let rental = world.start(book, Limits { decision, ..Limits::default() }).await;
                world.until(&rental, "paid", |booking| booking["times"]["paid"].is_string()).await;

                let (approved, rejected, cancelled) =
                    tokio::join!(world.approve(book), world.reject(book), world.cancel(&rental));

                let booking = world
                    .until(&rental, "decided", |booking| {
                        booking["ending"].is_string() || booking["stage"] == "approved"
                    })
                    .await;
                let outcome = booking["reason"].as_str().unwrap_or("approved").to_owned();
                let won = |reply: &crate::world::Reply| matches!(reply.status.as_u16(), 200 | 202);
                let said: Vec<_> = [(approved, "approved"), (rejected, "rejected"), (cancelled, "cancelled")]
                    .into_iter()
                    .filter(|(reply, _)| won(reply))
                    .map(|(_, what)| what)
                    .collect();
                let expected: Vec<_> =
                    [outcome.as_str()].into_iter().filter(|what| *what != "not_decided_in_time").collect();
                assert_eq!(said, expected, "who was told yes, and what happened: {booking:#}");
                world.until(&rental, "settled", |booking| booking["stage"] != "undoing").await;
                world.assert_agrees(&rental).await;
                outcome
            }
        })
        .buffer_unordered(8)
        .collect()
        .await;

    let count = |what: &str| outcomes.iter().filter(|outcome| *outcome == what).count();
    let counts: Vec<_> =
        ["approved", "rejected", "cancelled", "not_decided_in_time"].map(|what| (what, count(what))).into();
    println!("{counts:?}");
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), RACES, "{counts:?}");
    assert!(counts.iter().filter(|(_, count)| *count > 0).count() >= 2, "this was no race: {counts:?}");
}

/// A task in which a booking ends is done again when somebody's word comes meanwhile. What it has shown by then stays.
#[tokio::test]
async fn a_word_that_comes_while_a_booking_ends_changes_nothing() {
    let world = World::new();
    let kind = host::kind("salon").unwrap();
    let served = json!({ "by": world.manager.subject });

    let race = async |_| {
        let opening = play::opening(&world, kind, 3_000, Limits { near: true, ..Limits::default() }).await;
        let id = world.begin_of("salon", opening).await;
        play::play_to(&world, kind, &id, "confirmed").await;
        world.tell(&id, "cancel", json!({ "by": world.member.subject })).await.unwrap();
        world.signal(&id, "complete", served.clone()).await;

        assert_eq!(world.ended(&id).await["reason"], "cancelled");
        world.assert_promises(&id).await;
        world.events(&id).await.contains(&"WorkflowTaskFailed".to_owned())
    };
    // Not every word comes in time.
    let races = stream::iter(0..200).map(race).buffer_unordered(8);
    let done_again = races.filter(|done_again| std::future::ready(*done_again)).take(5).count().await;
    assert_eq!(done_again, 5, "this was no race: too few tasks were done again");
}

/// In a task that is done again, a word that has come by then is heard before the deadline. So that a deadline has passed is written
/// down before the board shows it.
#[tokio::test]
async fn nothing_follows_from_a_deadline_before_it_is_written_down() {
    let world = World::new();
    let limits = Limits { decision: Duration::from_millis(1), near: true, ..Limits::default() };
    let rental = world.start(world.book().await, limits).await;
    assert_eq!(world.ended(&rental).await["reason"], "not_decided_in_time");

    let history: Value = serde_json::from_str(&world.history(&rental).await).unwrap();
    let events = history["events"].as_array().unwrap().iter().map(|event| &event["attributes"]);
    let after = events.skip_while(|event| event["TimerFiredEventAttributes"].is_null());
    let done = after.filter_map(|event| {
        let activity = &event["ActivityTaskScheduledEventAttributes"]["activity_type"]["name"];
        let marker = &event["MarkerRecordedEventAttributes"]["marker_name"];
        activity.as_str().or(marker.as_str())
    });
    let done: Vec<_> = done.filter(|what| *what != "core_patch").collect();
    assert_eq!(done[..2], ["road.written", "core_local_activity"], "{done:?}");
}
