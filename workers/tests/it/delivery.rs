//! How messages leave: by mail and by text, once, in the customer's language, and what becomes of those that do not arrive.

use crate::world::{booking, database, settings};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use warp::{Filter, http::StatusCode};
use workers::notification::{Mail, Post, Text, send};
use workflows::contracts::notification::{Money, Notice};

fn notice(system: &str, stage: &str, customer: &str) -> Notice {
    Notice {
        booking: booking(),
        system: system.to_owned(),
        stage: stage.to_owned(),
        customer: customer.parse().unwrap(),
        item: 1,
        item_name: Some("Hello, JAVA".to_owned()),
        reason: None,
        money: Money::NotTaken,
        was_told: false,
    }
}

fn worker(method: Method, path: &str) -> RequestBuilder {
    let settings = settings();
    let url = format!("{}{path}", settings["HOLDFAST_NOTIFICATION_URL"]);
    Client::new().request(method, url).bearer_auth(&settings["HOLDFAST_SERVICE_SECRET"])
}

/// Somebody who can be reached.
async fn customer(contact: Value) -> String {
    let name = format!("c-{}", booking());
    let kept = worker(Method::PUT, &format!("/contacts/{name}")).json(&contact).send().await.unwrap();
    assert!(kept.status().is_success());
    name
}

async fn state(post: &Post, notice: &Notice) -> (String, String, Option<String>) {
    let query = "select state, channel, problem from messages where booking = $1 and stage = $2";
    let row = post.pool.get().await.unwrap().query_one(query, &[&notice.booking.0, &notice.stage]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

/// A mail server as far as one is needed: it takes mail, defers it, refuses it, or breaks off when it has it.
#[derive(Clone, Default)]
struct MailServer {
    mails: Arc<Mutex<Vec<String>>>,
    /// What it says to a mail; 0: it has it, and says nothing.
    answer: Arc<AtomicU16>,
}

impl MailServer {
    async fn start() -> (Self, Mail) {
        let server = Self::default();
        server.answer.store(250, Ordering::SeqCst);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                tokio::spawn(async move { drop(server.talk(stream).await) });
            }
        });
        (server, Mail::new(&url.into(), "Holdfast <holdfast@example.com>".parse().unwrap()).unwrap())
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 here\r\n").await?;
        let mut line = String::new();
        while {
            line.clear();
            stream.read_line(&mut line).await? > 0
        } {
            let answer = match line.get(..4).unwrap_or_default().to_uppercase().as_str() {
                "EHLO" | "HELO" => "250 here\r\n",
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let mut mail = String::new();
                    while {
                        line.clear();
                        stream.read_line(&mut line).await? > 0 && line != ".\r\n"
                    } {
                        mail.push_str(&line);
                    }
                    match self.answer.load(Ordering::SeqCst) {
                        250 => {
                            self.mails.lock().unwrap().push(mail);
                            "250 taken\r\n"
                        }
                        0 => {
                            self.mails.lock().unwrap().push(mail);
                            return Ok(());
                        }
                        451 => "451 later\r\n",
                        _ => "550 no\r\n",
                    }
                }
                "QUIT" => return stream.write_all(b"221 bye\r\n").await,
                _ => "250 fine\r\n",
            };
            stream.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }
}

/// CN-F4, CN-F6: by mail, once, in the customer's language.
#[tokio::test]
async fn a_mail_goes_out_once_in_the_customers_language() {
    let (server, mail) = MailServer::start().await;
    let post = Post { pool: database("NOTIFICATION"), mail: Some(mail), text: None };
    let korean = customer(json!({ "mail": "lee@example.com", "language": "ko" })).await;
    let reserved = notice("cinema", "reserved", &korean);
    for _ in 0..3 {
        send(&post, &reserved).await.unwrap();
    }
    let mails = server.mails.lock().unwrap().clone();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains("To: lee@example.com"), "{}", mails[0]);
    assert!(mails[0].contains(&format!("<{}.reserved@holdfast>", reserved.booking)), "{}", mails[0]);
    let text: String = post
        .pool
        .get()
        .await
        .unwrap()
        .query_one("select text from messages where booking = $1", &[&reserved.booking.0])
        .await
        .unwrap()
        .get(0);
    assert!(text.contains("예매가 완료"), "{text}");
    assert_eq!(state(&post, &reserved).await, ("sent".to_owned(), "mail".to_owned(), None));

    // Without an address it is kept, and can be read.
    let unknown = notice("cinema", "reserved", &format!("c-{}", booking()));
    send(&post, &unknown).await.unwrap();
    assert_eq!(state(&post, &unknown).await, ("sent".to_owned(), "none".to_owned(), None));
    assert_eq!(server.mails.lock().unwrap().len(), 1);
}

/// X5: what a server defers is tried again; what it refuses is a dead letter; and so is what nobody knows the outcome of, because
/// to try that again might be to tell it twice. A person may send a dead letter again.
#[tokio::test]
async fn a_mail_that_does_not_arrive_is_tried_again_or_becomes_a_dead_letter() {
    let (server, mail) = MailServer::start().await;
    let post = Post { pool: database("NOTIFICATION"), mail: Some(mail), text: None };
    let who = customer(json!({ "mail": "lee@example.com" })).await;

    let deferred = notice("cinema", "reserved", &who);
    server.answer.store(451, Ordering::SeqCst);
    send(&post, &deferred).await.unwrap_err();
    assert_eq!(state(&post, &deferred).await.0, "waiting");
    server.answer.store(250, Ordering::SeqCst);
    send(&post, &deferred).await.unwrap();
    assert_eq!(state(&post, &deferred).await.0, "sent");

    let refused = notice("cinema", "reserved", &who);
    server.answer.store(550, Ordering::SeqCst);
    send(&post, &refused).await.unwrap();
    assert_eq!(state(&post, &refused).await, ("dead".to_owned(), "mail".to_owned(), Some("mail_refused".to_owned())));

    let unknown = notice("cinema", "reserved", &who);
    let before = server.mails.lock().unwrap().len();
    server.answer.store(0, Ordering::SeqCst);
    for _ in 0..3 {
        send(&post, &unknown).await.unwrap();
    }
    assert_eq!(state(&post, &unknown).await.2.as_deref(), Some("outcome_unknown"));
    assert_eq!(server.mails.lock().unwrap().len(), before + 1, "never told twice");

    // A worker that was killed in the middle of an attempt leaves the same doubt.
    let killed = notice("cinema", "reserved", &who);
    server.answer.store(451, Ordering::SeqCst);
    send(&post, &killed).await.unwrap_err();
    let cut_off = "update messages set state = 'sending', tried_at = now() - interval '1 hour' where booking = $1";
    post.pool.get().await.unwrap().execute(cut_off, &[&killed.booking.0]).await.unwrap();
    send(&post, &killed).await.unwrap();
    assert_eq!(state(&post, &killed).await.2.as_deref(), Some("outcome_unknown"));

    let find = "select message from messages where booking = $1";
    let number: i64 = post.pool.get().await.unwrap().query_one(find, &[&refused.booking.0]).await.unwrap().get(0);
    let page = format!("/dead?after={}", number - 1);
    let dead: Value = worker(Method::GET, &page).send().await.unwrap().json().await.unwrap();
    let letter = &dead[0];
    assert_eq!((&letter["message"], &letter["problem"]), (&json!(number), &json!("mail_refused")));
    assert!(!dead.to_string().contains("lee@example.com") && !dead.to_string().contains("JAVA"), "{dead}");
    let again = worker(Method::POST, &format!("/dead/{number}/resend")).send().await.unwrap();
    assert!(again.status().is_success());
    // The running worker writes to its log.
    assert_eq!(state(&post, &refused).await.0, "sent");
    let gone = worker(Method::POST, &format!("/dead/{number}/resend")).send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 404);
}

/// A server that is not there has taken nothing: it is tried again.
#[tokio::test]
async fn a_mail_server_that_is_away_is_waited_for() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mail = Mail::new(&format!("smtp://{closed}").into(), "a@example.com".parse().unwrap()).unwrap();
    let post = Post { pool: database("NOTIFICATION"), mail: Some(mail), text: None };
    let who = customer(json!({ "mail": "lee@example.com" })).await;
    let told = notice("cinema", "reserved", &who);
    send(&post, &told).await.unwrap_err();
    assert_eq!(
        state(&post, &told).await,
        ("waiting".to_owned(), "mail".to_owned(), Some("mail_server_away".to_owned()))
    );
}

/// HS-F6: a salon's customers are told by text, with a key that makes a repeat harmless.
#[tokio::test]
async fn a_salons_customer_is_told_by_text() {
    let heard: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let answer = Arc::new(AtomicU16::new(503));
    let (log, status) = (heard.clone(), answer.clone());
    let route = warp::post().and(warp::header("idempotency-key")).and(warp::body::json()).map(
        move |key: String, body: Value| {
            log.lock().unwrap().push((key, body));
            warp::reply::with_status("", StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap())
        },
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/send", listener.local_addr().unwrap());
    tokio::spawn(warp::serve(route).incoming(listener).run());
    let text = Text::new(url.parse().unwrap(), None).unwrap();
    let post = Post { pool: database("NOTIFICATION"), mail: None, text: Some(text) };
    let who = customer(json!({ "mail": "lee@example.com", "phone": "+82 10 1234 5678" })).await;
    let told = notice("salon", "confirmed", &who);

    send(&post, &told).await.unwrap_err();
    answer.store(200, Ordering::SeqCst);
    send(&post, &told).await.unwrap();
    send(&post, &told).await.unwrap();

    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0].0, heard[1].0);
    assert_eq!(heard[1].1["to"], "+82 10 1234 5678");
    answer.store(400, Ordering::SeqCst);
    let refused = notice("salon", "confirmed", &who);
    send(&post, &refused).await.unwrap();
    assert_eq!(state(&post, &refused).await.2.as_deref(), Some("text_refused"));
}
