//! Erasure: after a customer is forgotten, no table and nothing in Temporal says that they were here, and the money still adds up.

use crate::{
    cli::Cli,
    play::{self, Until},
    world::World,
};
use orchestrator::host::SAGAS;
use serde_json::json;
use std::time::Duration;
use temporalio_client::{UntypedWorkflow, WorkflowDescribeOptions, errors::WorkflowInteractionError};
use tokio::time::{Instant, interval};
use workflows::saga::Limits;

const DELETED_WITHIN: Duration = Duration::from_mins(3);

/// How many rows of which tables hold a text, whatever the column.
async fn mentions(world: &World, text: &str) -> Vec<(String, i64)> {
    let db = world.database().await;
    let tables = "select format('%I.%I', schemaname, tablename) from pg_tables \
        where schemaname not in ('pg_catalog', 'information_schema') order by 1";
    let mut found = Vec::new();
    for table in db.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let count = format!("select count(*) from {table} t where t::text like '%' || $1 || '%'");
        let rows: i64 = db.query_one(&count, &[&text]).await.unwrap().get(0);
        if rows > 0 {
            found.push((table, rows));
        }
    }
    found
}

#[tokio::test]
async fn a_customer_is_forgotten_everywhere_and_the_money_still_adds_up() {
    let world = World::new();
    let customer = world.member.subject.as_str();
    let cli = Cli { world: &world, direct: false };
    world.put(&world.member, "/me/contact", json!({ "mail": format!("{customer}@example.com") })).await;
    let (mut ids, mut workflows) = (Vec::new(), Vec::new());
    for kind in SAGAS {
        for until in [Until::Completed, Until::Cancelled] {
            let mut opening = play::opening(&world, kind, 5_000, Limits::default()).await;
            opening.details.insert("memberName".to_owned(), format!("Ms {customer}"));
            let item = opening.item.number;
            let id = world.begin_of(kind.system, opening).await;
            play::play(&world, kind, &id, until).await;
            world.ended(&id).await;
            world.assert_promises(&id).await;
            if kind.system == "cinema" && until == Until::Completed {
                let review = json!({ "movieId": item.to_string(), "content": format!("{customer} laughed.") });
                world.post(&world.member, "/cinema/reviews", review).await.assert_status(201);
            }
            workflows.push(format!("{}/{id}", kind.system));
            ids.push(id);
        }
    }
    let known: Vec<_> = mentions(&world, customer).await.into_iter().map(|(table, _)| table).collect();
    for table in ["board.bookings", "board.history", "catalog.holds", "catalog.reviews", "payment.charges"] {
        assert!(known.iter().any(|known| known == table), "{table} is not among {known:?}");
    }

    // Not while somebody still has to know whose something is.
    let open = world.paid(world.book().await).await;
    let path = format!("/customers/{customer}/forget");
    let refused = world.post(&world.operator, &path, json!({})).await;
    refused.assert_problem(409, "still_open");
    assert_eq!(refused.body["bookings"], 1);
    assert!(cli.refused(&world.operator, &["forget", customer]).await.contains("still_open"));
    world.cancel(&open).await;
    world.ended(&open).await;
    world.assert_promises(&open).await;
    workflows.push(format!("ebook/{open}"));
    ids.push(open);

    // The last messages may be on their way: then it says so, and is asked again.
    let forgotten = async || cli.run(&world.operator, &["forget", customer]).await.status.success();
    world.eventually("forgotten", forgotten, |forgotten| *forgotten).await;
    assert_eq!(mentions(&world, customer).await, []);
    let kept = async || {
        let mut known = Vec::new();
        for id in &workflows {
            let handle = world.temporal().await.get_workflow_handle::<UntypedWorkflow>(id);
            let described = handle.describe(WorkflowDescribeOptions::default()).await;
            if !matches!(described, Err(WorkflowInteractionError::NotFound(_))) {
                known.push(id);
            }
        }
        known
    };
    // Temporal takes up to a minute to do as it was told.
    let (until, mut look) = (Instant::now() + DELETED_WITHIN, interval(Duration::from_secs(1)));
    while !kept().await.is_empty() {
        assert!(Instant::now() < until, "Temporal still knows {:?}", kept().await);
        look.tick().await;
    }
    for id in &ids {
        world.assert_agrees(id).await;
    }
    // There is nothing left to forget, and nothing to be refused for.
    let again = world.post(&world.operator, &path, json!({})).await.assert_status(200);
    assert_eq!(again.body["forgotten"]["bookings"], 0);
}
