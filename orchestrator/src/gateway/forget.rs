//! Forgetting a customer who asks for it: in every table, and in Temporal. What was booked, when and for how much stays, so that
//! the money still adds up; that it was they does not.

use super::{
    Gateway,
    auth::Role,
    call::{Call, json},
    problem::{Code, Problem},
    routes::{Access, Gives, Route},
    shape::{Field, Shape},
};
use crate::worker::Worker;
use futures::TryStreamExt;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use temporalio_client::{
    NamespacedClient as _, WorkflowExecution, WorkflowExecutionStatus as Status, WorkflowListOptions,
    grpc::WorkflowService,
    tonic::{Code as Rpc, IntoRequest},
};
use temporalio_common::protos::temporal::api::{
    common::v1 as common, workflowservice::v1::DeleteWorkflowExecutionRequest,
};
use warp::{http::StatusCode, reply::Response};
use workflows::booking::{BookingId, Subject};

/// So many bookings are forgotten for one request; whoever has more asks again.
const BOOKINGS_MAX: i64 = 200;
/// And so many workflows beside theirs.
const WORKFLOWS_MAX: usize = 200;
/// A customer may have had a great deal.
const WORKER_WITHIN: Duration = Duration::from_secs(10);
/// How many workflow ids fit into one query.
const QUERY_IDS: usize = 50;

pub(super) const ROUTES: &[Route] = &[Route::post(
    "/customers/{customer}/forget",
    Access::Any(&[Role::Operator]),
    "Forgets a customer, none of whose bookings is open: in every table, and in Temporal.",
    |gateway, call| Box::pin(async move { forget(&gateway, &call).await }),
)
.gives(&[200], Gives::One(&FORGOTTEN))
.refuses(&[&[Code::StillOpen]])];

const COUNTS: Shape = Shape::new(
    "ForgottenCounts",
    &[
        Field::count("bookings", "On the board.", "2"),
        Field::count("charges", "In the ledger; their amounts stay.", "2"),
        Field::count("holds", "In the catalogue.", "2"),
        Field::count("reviews", "Deleted.", "0"),
        Field::count("contacts", "Deleted.", "1"),
        Field::count("messages", "Deleted.", "6"),
        Field::count("vouchers", "Issued to them.", "0"),
        Field::count("credits", "Points given to them.", "0"),
        Field::count("workflows", "Deleted in Temporal, with their histories.", "2"),
    ],
);
const FORGOTTEN: Shape = Shape::new(
    "Forgotten",
    &[
        Field::text("nobody", "Who stands in their place from now on.", "nobody-1b9d6bcdbbfd4b2d9b5dab8dfbbd4bed"),
        Field::one("forgotten", "How much there was, of each kind.", &COUNTS),
        Field::flag("more", "There is more: ask again."),
        Field::count("running", "Ended bookings whose last messages are on their way: ask again later.", "0"),
    ],
);

async fn forget(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let expected = "1 to 64 characters of a-z, A-Z, 0-9, '.', '_', '-'";
    let customer: Option<Subject> = call.parameters.first().and_then(|text| text.parse().ok());
    let customer = customer.ok_or_else(|| Problem::field("customer", expected))?;
    let open = gateway.board.open_of(&customer).await?;
    if open > 0 {
        return Err(Problem::new(Code::StillOpen).with("bookings", open));
    }
    // New each time, and kept nowhere else.
    let nobody = format!("nobody-{:032x}", rand::random::<u128>());
    let ended = gateway.board.ended_of(&customer, BOOKINGS_MAX).await?;
    let (mut gone, mut running, mut workflows) = (Vec::new(), 0, 0);
    for part in ended.chunks(QUERY_IDS) {
        let runs = runs(gateway, part).await?;
        let is_running = |id: &str| runs.iter().any(|run| run.id() == id && run.status() == Status::Running);
        for run in runs.iter().filter(|run| !is_running(run.id())) {
            workflows += u64::from(delete(gateway, run).await?);
        }
        let (over, told): (Vec<_>, Vec<_>) =
            part.iter().partition(|(system, booking)| !is_running(&format!("{system}/{booking}")));
        gone.extend(over.into_iter().map(|(_, booking)| *booking));
        running += told.len();
    }
    // Those that the board has forgotten already.
    for run in &others(gateway, &customer).await? {
        workflows += u64::from(delete(gateway, run).await?);
    }
    let mut forgotten = BTreeMap::new();
    forgotten.insert("workflows".to_owned(), json!(workflows));
    forgotten.insert("bookings".to_owned(), json!(gateway.board.forget_owner(&gone, &nobody).await?));
    // After the board, from which points are given.
    for worker in [&gateway.catalogue.worker, &gateway.payment, &gateway.notification, &gateway.fulfilment] {
        forgotten.extend(by(worker, &customer, &nobody).await?);
    }
    let more = !gone.is_empty() && i64::try_from(ended.len()) == Ok(BOOKINGS_MAX);
    let answer = json!({ "nobody": nobody, "forgotten": forgotten, "more": more, "running": running });
    Ok(json(StatusCode::OK, &answer))
}

/// What a worker knew of them.
async fn by(worker: &Worker, customer: &Subject, nobody: &str) -> Result<BTreeMap<String, Value>, Problem> {
    let url = format!("{}/customers/{customer}", worker.base);
    let request = worker.client.delete(url).query(&[("as", nobody)]).timeout(WORKER_WITHIN);
    Ok(worker.ask(request).await?.unwrap_or_default())
}

/// What Temporal keeps of some bookings: all their runs.
async fn runs(gateway: &Gateway, bookings: &[(String, BookingId)]) -> Result<Vec<WorkflowExecution>, Problem> {
    let ids: Vec<_> = bookings.iter().map(|(system, booking)| format!("'{system}/{booking}'")).collect();
    let query = format!("WorkflowId in ({})", ids.join(", "));
    let runs = gateway.temporal.list_workflows(&query, WorkflowListOptions::default());
    runs.try_collect().await.map_err(|error| Problem::unavailable("Temporal", &error))
}

/// What Temporal can find of a customer that has ended.
async fn others(gateway: &Gateway, customer: &Subject) -> Result<Vec<WorkflowExecution>, Problem> {
    // A subject has no quote in it.
    let query = format!("BookingCustomer = '{customer}' and ExecutionStatus != 'Running'");
    let options = WorkflowListOptions::builder().limit(WORKFLOWS_MAX).build();
    let runs = gateway.temporal.list_workflows(&query, options).try_collect().await;
    runs.map_err(|error| Problem::unavailable("Temporal", &error))
}

async fn delete(gateway: &Gateway, run: &WorkflowExecution) -> Result<bool, Problem> {
    let execution = common::WorkflowExecution { workflow_id: run.id().to_owned(), run_id: run.run_id().to_owned() };
    let request =
        DeleteWorkflowExecutionRequest { namespace: gateway.temporal.namespace(), workflow_execution: Some(execution) };
    match gateway.temporal.clone().delete_workflow_execution(request.into_request()).await {
        Ok(_) => Ok(true),
        // It was deleted a moment ago, and is still listed.
        Err(status) if status.code() == Rpc::NotFound => Ok(false),
        Err(status) => Err(Problem::unavailable("Temporal", &status)),
    }
}
