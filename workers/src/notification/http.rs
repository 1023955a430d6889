//! The notification worker's HTTP side, for the gateway alone.
//!
//! `GET /messages/{system}?customer&booking&after&limit`, `GET /dead?after&limit`, `POST /dead/{message}/resend`,
//! `GET /contacts/{customer}`, `PUT /contacts/{customer}`, `DELETE /customers/{customer}`.

use super::{Contact, Post, contacts, send};
use crate::{
    http::{BODY_BYTES_MAX, Forgets, Page, answer, forget, found},
    road::Road,
    store::Error,
};
use deadpool_postgres::Pool;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_postgres::{
    Row,
    types::{Json, ToSql},
};
use warp::{Filter, Rejection, http::StatusCode, reply::Response};
use workflows::contracts::notification::{self, Notice};

/// A message that has waited longer than its saga asks for it is nobody's any more.
const GIVEN_UP: &str = "(state = 'dead' or (state <> 'sent' and asked_at < now() - interval '3 days'))";
const COLUMNS: &str = "message, booking, stage, system, item, text, language, channel, state, problem, attempts, asked_at, \
    sent_at";

/// Where somebody can be reached, and everything that was said to them.
const FORGETS: Forgets = &[
    ("contacts", "delete from contacts where customer = $1"),
    ("messages", "delete from messages where customer = $1"),
];

#[derive(Deserialize)]
struct Of {
    #[serde(default)]
    customer: Option<String>,
    booking: Option<uuid::Uuid>,
}

pub(super) fn routes(
    post: Arc<Post>,
    road: &Road,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + use<> {
    let told = road.to(notification::Send, &post, |post, notice| async move { send(&post, &notice).await });
    let pool = post.pool.clone();
    let forgotten = forget(pool.clone(), FORGETS);
    let with_pool = warp::any().map(move || pool.clone());
    let messages = warp::path!("messages" / String)
        .and(warp::get())
        .and(warp::query())
        .and(warp::query())
        .and(with_pool.clone())
        .then(|system: String, of: Of, page: Page, pool: Pool| async move {
            answer(StatusCode::OK, messages(&pool, &system, &of, &page).await)
        });
    let dead = warp::path!("dead")
        .and(warp::get())
        .and(warp::query())
        .and(with_pool.clone())
        .then(|page: Page, pool: Pool| async move { answer(StatusCode::OK, dead(&pool, &page).await) });
    let again = warp::path!("dead" / i64 / "resend")
        .and(warp::post())
        .and(warp::any().map(move || post.clone()))
        .then(|message: i64, post: Arc<Post>| async move { found(resend(&post, message).await) });
    let contact = warp::path!("contacts" / String)
        .and(warp::get())
        .and(with_pool.clone())
        .then(|customer: String, pool: Pool| async move { found(contacts::of(&pool, &customer).await) });
    let keep = warp::path!("contacts" / String)
        .and(warp::put())
        .and(warp::body::content_length_limit(BODY_BYTES_MAX))
        .and(warp::body::json())
        .and(with_pool)
        .then(|customer: String, contact: Contact, pool: Pool| async move {
            answer(StatusCode::OK, contacts::keep(&pool, &customer, &contact).await)
        });
    told.or(messages)
        .unify()
        .or(dead)
        .unify()
        .or(again)
        .unify()
        .or(contact)
        .unify()
        .or(keep)
        .unify()
        .or(forgotten)
        .unify()
}

async fn messages(pool: &Pool, system: &str, of: &Of, page: &Page) -> Result<Vec<Value>, Error> {
    let client = pool.get().await?;
    let select = client
        .prepare_cached(&format!(
            "select {COLUMNS} from messages where system = $1 and ($2::text is null or customer = $2) \
             and ($3::uuid is null or booking = $3) and message > $4 order by message limit $5"
        ))
        .await?;
    let wanted: [&(dyn ToSql + Sync); 5] = [&system, &of.customer, &of.booking, &page.after, &page.limit()];
    Ok(client.query(&select, &wanted).await?.iter().map(shown).collect())
}

async fn dead(pool: &Pool, page: &Page) -> Result<Vec<Value>, Error> {
    let client = pool.get().await?;
    let select = format!("select {COLUMNS} from messages where {GIVEN_UP} and message > $1 order by message limit $2");
    Ok(client.query(&select, &[&page.after, &page.limit()]).await?.iter().map(letter).collect())
}

/// Takes a dead letter up again: a person has decided that to tell it twice is better than not at all.
async fn resend(post: &Post, message: i64) -> Result<Option<Value>, Error> {
    let client = post.pool.get().await?;
    let revive = format!(
        "update messages set state = 'waiting', problem = null, asked_at = now() where message = $1 and {GIVEN_UP} \
         and notice is not null returning notice"
    );
    let Some(row) = client.query_opt(&revive, &[&message]).await? else { return Ok(None) };
    let Json(notice): Json<Notice> = row.get("notice");
    // Not delivered now: it waits, and is found again with the others that nobody asks for any more.
    drop(send(post, &notice).await);
    let look = format!("select {COLUMNS} from messages where message = $1");
    Ok(Some(letter(&client.query_one(&look, &[&message]).await?)))
}

fn shown(row: &Row) -> Value {
    json!({
        "msgId": row.get::<_, i64>("message"),
        "booking": row.get::<_, uuid::Uuid>("booking"),
        "item": row.get::<_, i64>("item"),
        "content": row.get::<_, &str>("text"),
        "stage": row.get::<_, &str>("stage"),
        "language": row.get::<_, &str>("language"),
        "state": row.get::<_, &str>("state"),
        "sentDate": row.get::<_, Option<chrono::DateTime<chrono::Utc>>>("sent_at"),
    })
}

/// Without its words: those are the customer's.
fn letter(row: &Row) -> Value {
    json!({
        "message": row.get::<_, i64>("message"),
        "booking": row.get::<_, uuid::Uuid>("booking"),
        "system": row.get::<_, &str>("system"),
        "stage": row.get::<_, &str>("stage"),
        "channel": row.get::<_, &str>("channel"),
        "problem": row.get::<_, Option<&str>>("problem"),
        "state": row.get::<_, &str>("state"),
        "attempts": row.get::<_, i32>("attempts"),
        "asked_at": row.get::<_, chrono::DateTime<chrono::Utc>>("asked_at"),
    })
}
