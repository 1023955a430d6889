//! `holdfast book | decide | return | cancel | show | watch | explain`: what customers and those who decide do from a terminal.

use super::{Api, Request};
use anyhow::{Context, bail, ensure};
use bytes::BytesMut;
use clap::Subcommand;
use serde_json::{Map, Value, json};
use std::str::FromStr;
use workflows::booking::BookingId;

/// What to do about bookings.
#[derive(Subcommand)]
pub enum Bookings {
    /// Asks for a booking: `holdfast book ebook bookId=1`.
    Book {
        /// Which system: ebook, resort, cinema, matching, salon or parcel.
        system: String,
        /// What that system wants to know, as name=value.
        fields: Vec<Field>,
        /// Makes a repeat the same request.
        #[arg(long)]
        key: Option<String>,
    },
    /// Says a word that the inbox offers: `holdfast decide ID approve`, `holdfast decide ID reject because=damaged`.
    Decide {
        /// About which booking.
        booking: BookingId,
        /// What.
        word: String,
        /// What comes with the word, as name=value.
        fields: Vec<Field>,
    },
    /// Brings back what was lent.
    Return {
        /// Which booking.
        booking: BookingId,
    },
    /// Takes a booking back before its point of no return.
    Cancel {
        /// Which booking.
        booking: BookingId,
    },
    /// Shows a booking, as JSON.
    Show {
        /// Which booking.
        booking: BookingId,
    },
    /// Tells every change as it happens, a line each; of one booking until it has ended.
    Watch {
        /// Which booking; all that may be seen without.
        booking: Option<BookingId>,
    },
    /// Tells the story of a booking: what happened, what it waits for, and what may be done.
    Explain {
        /// Which booking.
        booking: BookingId,
    },
}

/// A field of a request.
#[derive(Clone, Debug)]
pub struct Field(String, String);

impl FromStr for Field {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("expected name=value")?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

fn fields(fields: Vec<Field>) -> Map<String, Value> {
    fields.into_iter().map(|Field(name, value)| (name, json!(value))).collect()
}

/// Does what was asked for. What there is to print is given to `say`, line by line.
///
/// # Errors
/// When the gateway does not answer, or refuses.
pub async fn run(api: &Api, wanted: Bookings, say: impl Fn(&str)) -> anyhow::Result<()> {
    match wanted {
        Bookings::Book { system, fields: given, key } => {
            let mut body = fields(given);
            body.insert("system".to_owned(), json!(system));
            let made = api.send(Request::post("/bookings").body(body).key(key.as_deref())).await?;
            say(&line(&made));
        }
        Bookings::Decide { booking, word, fields: given } => say(&tell(api, booking, &word, fields(given)).await?),
        Bookings::Return { booking } => say(&tell(api, booking, "return", Map::new()).await?),
        Bookings::Cancel { booking } => {
            let path = format!("/bookings/{booking}/cancel");
            say(&line(&api.send(Request::post(&path)).await?));
        }
        Bookings::Show { booking } => {
            let shown = api.send(Request::get(&format!("/bookings/{booking}"))).await?;
            say(&serde_json::to_string_pretty(&shown)?);
        }
        Bookings::Watch { booking } => watch(api, booking, say).await?,
        Bookings::Explain { booking } => say(&explain(api, booking).await?),
    }
    Ok(())
}

/// Says a word to one booking.
async fn tell(api: &Api, booking: BookingId, word: &str, mut body: Map<String, Value>) -> anyhow::Result<String> {
    // It goes into a path.
    ensure!(!word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{word:?} is no word");
    body.insert("bookings".to_owned(), json!([booking]));
    let said = api.send(Request::post(&format!("/inbox/{word}")).body(body)).await?;
    let outcome = &said["outcomes"][0];
    match outcome["code"].as_str() {
        Some(code) => bail!("{code} ({})", outcome["status"]),
        None => Ok(format!("{booking}  {}", outcome["stage"].as_str().unwrap_or_default())),
    }
}

/// A booking in a line.
fn line(booking: &Value) -> String {
    let text = |name: &str| booking[name].as_str().unwrap_or_default();
    format!("{}  {}", text("id"), text("stage"))
}

async fn watch(api: &Api, booking: Option<BookingId>, say: impl Fn(&str)) -> anyhow::Result<()> {
    let only = booking.map(|booking| booking.to_string());
    let mut last = String::new();
    if let Some(booking) = &only {
        // What has happened already is told first.
        let shown = api.send(Request::get(&format!("/bookings/{booking}"))).await?;
        for change in shown["timeline"].as_array().into_iter().flatten() {
            say(&told(change));
            change["place"].as_str().unwrap_or_default().clone_into(&mut last);
        }
        if shown["ending"].is_string() {
            return Ok(());
        }
    }
    loop {
        let cursor: Vec<(&str, String)> = if last.is_empty() { Vec::new() } else { vec![("cursor", last.clone())] };
        let mut feed = api.open(Request::get("/bookings/feed").query(&cursor)).await?;
        let mut read = BytesMut::new();
        while let Some(part) = feed.chunk().await? {
            read.extend_from_slice(&part);
            ensure!(read.len() < EVENT_BYTES_MAX, "an event is too long");
            while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                let line = read.split_to(end + 1);
                let Some(data) = line.strip_prefix(b"data:") else { continue };
                let change: Value = serde_json::from_slice(data).context("the feed makes no sense")?;
                change["place"].as_str().unwrap_or_default().clone_into(&mut last);
                if only.as_deref().is_some_and(|only| change["booking"] != only) {
                    continue;
                }
                say(&told(&change));
                if only.is_some() && change["ending"].is_string() {
                    return Ok(());
                }
            }
        }
        // A feed ends from time to time: it goes on where it was, in a moment.
        tokio::time::sleep(AGAIN).await;
    }
}

/// A feed that has ended is opened again after this time.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);
const EVENT_BYTES_MAX: usize = 1024 * 1024;

fn told(change: &Value) -> String {
    let text = |name: &str| change[name].as_str().unwrap_or_default();
    let reason = change["reason"].as_str().map_or_else(String::new, |reason| format!("  because: {reason}"));
    let waits = change["waiting_for"].as_str().map_or_else(String::new, |party| format!("  waits for the {party}"));
    format!("{}  {}  {}  {}{waits}{reason}", text("at"), text("system"), text("booking"), text("stage"))
}

/// Tells the story of a booking.
///
/// # Errors
/// When the gateway does not answer, or refuses.
pub(super) async fn explain(api: &Api, booking: BookingId) -> anyhow::Result<String> {
    let story = api.send(Request::get(&format!("/bookings/{booking}/story"))).await?;
    let text = |name: &str| story[name].as_str().unwrap_or_default().to_owned();
    let lines = |name: &str| -> Vec<String> {
        let lines = story[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        lines.map(|line| format!("  {line}")).collect()
    };
    let mut told = vec![text("about"), String::new(), "What happened:".to_owned()];
    told.extend(lines("happened"));
    told.extend([String::new(), text("now")]);
    let may = lines("may");
    if !may.is_empty() {
        told.extend([String::new(), "What may be done:".to_owned()]);
        told.extend(may);
    }
    Ok(told.join("\n"))
}
