//! The board by itself: rows only move forward, history has no gaps and no doubles, and whoever waits is woken.

use crate::world::World;
use chrono::Utc;
use orchestrator::board::Board;
use std::collections::BTreeMap;
use tokio::time::Instant;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workflows::{
    booking::{BookingId, Ending, Item, Row},
    contracts::board::Rows,
};

fn open(world: &World) -> Board {
    let url = world.setting("HOLDFAST_BOARD_DATABASE_URL").to_owned().into();
    Board::open(&url, CancellationToken::new()).unwrap()
}

fn news(rows: &[Row]) -> Rows {
    Rows { rows: rows.to_vec(), audits: Vec::new() }
}

/// The first versions of a booking, one stage each.
fn versions(world: &World, stages: &[&str]) -> Vec<Row> {
    let booking = BookingId(Uuid::now_v7());
    let version = |(before, stage): (usize, &&str)| Row {
        booking,
        version: i32::try_from(before).unwrap() + 1,
        system: "test".to_owned(),
        stage: (*stage).to_owned(),
        ending: None,
        reason: None,
        stuck: None,
        committed: false,
        customer: world.member.subject.parse().unwrap(),
        item: Item { system: "test".to_owned(), number: 1 },
        period: None,
        details: BTreeMap::new(),
        item_name: None,
        price: None,
        waiting_for: None,
        deadline_at: None,
        times: BTreeMap::new(),
        fingerprint: None,
        at: Utc::now(),
    };
    stages.iter().enumerate().map(version).collect()
}

/// Who reads has less time than connecting may take on a busy machine.
#[tokio::test]
async fn readers_are_connected_before_they_come() {
    let world = World::new();
    let url = world.setting("HOLDFAST_BOARD_DATABASE_URL");
    let name = Uuid::new_v4().to_string();
    let board = Board::open(&format!("{url}?application_name={name}").into(), CancellationToken::new()).unwrap();
    board.connect_readers().await;
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let count = "select count(*) from pg_stat_activity where application_name = $1";
    let connected: i64 = client.query_one(count, &[&name]).await.unwrap().get(0);
    // Eight, and perhaps the one that listens for news already.
    assert!([8, 9].contains(&connected), "{connected}");
}

/// INV-5, X10.
#[tokio::test]
async fn a_late_or_repeated_publication_changes_nothing() {
    let world = World::new();
    let board = open(&world);
    let rows = versions(&world, &["requested", "held", "paid"]);
    let booking = rows[0].booking;

    // The far road carries all three, and the near one comes late with the first two, twice.
    board.publish(&news(&rows), None).await.unwrap();
    for _ in 0..2 {
        board.publish(&news(&rows[..2]), None).await.unwrap();
        board.publish(&news(&rows[1..2]), None).await.unwrap();
    }

    let row = board.find(booking).await.unwrap().unwrap();
    assert_eq!((row.version, row.stage.as_str()), (3, "paid"));
    let timeline = board.timeline(booking).await.unwrap();
    assert_eq!(timeline.iter().map(|change| change.version).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(timeline.is_sorted_by_key(|change| change.place), "{timeline:?}");
}

/// Another replica publishes, this one waits.
#[tokio::test]
async fn whoever_waits_is_woken_by_another_replica() {
    let world = World::new();
    let (here, there) = (open(&world), open(&world));
    let rows = versions(&world, &["requested", "held"]);
    let booking = rows[0].booking;
    let until = Instant::now() + crate::world::SOON;

    let (row, ()) = tokio::join!(here.wait(booking, until, |row| row.version == 2), async {
        there.publish(&news(&rows[..1]), None).await.unwrap();
        there.publish(&news(&rows[1..]), None).await.unwrap();
    });

    assert_eq!(row.unwrap().unwrap().stage, "held");
}

/// A saga that was terminated may have left a row on its way; by then the booking has been recovered, and has ended.
#[tokio::test]
async fn a_booking_that_has_ended_does_not_change_any_more() {
    let world = World::new();
    let board = open(&world);
    let mut rows = versions(&world, &["requested", "undone", "approved"]);
    let booking = rows[0].booking;
    rows[1].ending = Some(Ending::Undone { reason: "interrupted".to_owned() });
    board.publish(&news(&rows[..2]), None).await.unwrap();

    let instead = board.publish(&news(&rows[..1]), None).await.unwrap();
    assert_eq!(instead, None, "nothing to go on from");
    board.publish(&news(&rows), None).await.unwrap();

    let row = board.find(booking).await.unwrap().unwrap();
    assert_eq!((row.version, row.stage.as_str()), (2, "undone"));
    assert_eq!(board.timeline(booking).await.unwrap().len(), 2);
}

/// P6: a task that was lost had shown rows. Done again, by the same run of the saga, it goes on with them; whoever is told another
/// version goes on above the board's.
#[tokio::test]
async fn only_a_version_that_another_run_wrote_or_that_says_something_else_is_gone_on_from() {
    let world = World::new();
    let board = open(&world);
    let rows = versions(&world, &["requested", "held"]);
    let [ours, theirs] = [Some(Uuid::now_v7()), Some(Uuid::now_v7())];
    board.publish(&news(&rows), ours).await.unwrap();

    for row in &rows {
        let again = std::slice::from_ref(row);
        assert_eq!(board.publish(&news(again), ours).await.unwrap(), None, "{}, once more", row.stage);
        assert_eq!(board.publish(&news(again), theirs).await.unwrap(), Some(2), "{}, of another run", row.stage);
    }
    let otherwise = workflows::booking::Row { stage: "undoing".to_owned(), ..rows[1].clone() };
    assert_eq!(board.publish(&news(&[otherwise]), ours).await.unwrap(), Some(2));
    assert_eq!(board.timeline(rows[0].booking).await.unwrap().len(), 2);
}
