//! Conformance: does a worker keep its contract, whatever language it is written in?
//!
//! Its task queue is driven through what a bad day brings: repeats, calls that come late, early or at the same moment, fields
//! that are new or missing, and input that makes no sense. The worker is real, and so is what it does: point it at a provider's test
//! mode.

mod cases;

use crate::calls::{self, Calls};
use anyhow::ensure;
use cases::Case;
use futures::future::join_all;
use process::{
    settings::{required_or, secret},
    temporal,
};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;
use workflows::{
    booking::Item,
    calls::Said,
    contracts::{catalog, notification, payment},
};

/// How long one case may take with everything it asks.
const CASE_MAX: Duration = Duration::from_secs(90);
/// An error means "not known yet": whoever asks for good asks so often.
const ATTEMPTS: u32 = 5;
/// So many of the same call at the same moment.
const AT_ONCE: usize = 8;

/// Which workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Queue {
    /// Those that tell customers.
    Notification,
    /// Those that know what can be booked.
    Catalog,
    /// Those that take money.
    Payment,
}

impl Queue {
    const fn name(self) -> &'static str {
        match self {
            Self::Notification => notification::QUEUE,
            Self::Catalog => catalog::QUEUE,
            Self::Payment => payment::QUEUE,
        }
    }

    const fn cases(self) -> &'static [Case] {
        match self {
            Self::Notification => cases::NOTIFICATION,
            Self::Catalog => cases::CATALOG,
            Self::Payment => cases::PAYMENT,
        }
    }
}

/// What a case works with.
pub(crate) struct Kit {
    calls: Calls,
    queue: Queue,
    /// What is held, in the cases of the catalog.
    item: Option<Item>,
    http: reqwest::Client,
    messages: Url,
    secret: SecretString,
}

/// Drives the workers of a queue through every case, and tells what came of each. Gives back how many went wrong.
///
/// # Errors
/// When Temporal does not answer, or a setting is missing.
pub async fn run(queue: Queue, item: Option<Item>, say: impl Fn(&str)) -> anyhow::Result<usize> {
    ensure!(queue != Queue::Catalog || item.is_some(), "--item: which item may be held, such as ebook/1");
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    let messages = required_or("HOLDFAST_NOTIFICATION_URL", "a URL", "http://127.0.0.1:8183")?;
    let secret = secret("HOLDFAST_SERVICE_SECRET", "at least 16 random characters", 16)?;
    let temporal = temporal::connect(&temporal::Settings::read()?, &process::traces::Traces::default()).await?;
    Calls::during(&temporal, async |calls| Kit { calls, queue, item, http, messages, secret }.all(say).await).await
}

impl Kit {
    async fn all(&self, say: impl Fn(&str)) -> usize {
        let cases = self.queue.cases();
        let mut wrong = 0;
        for case in cases {
            let outcome = tokio::time::timeout(CASE_MAX, (case.run)(self)).await;
            match outcome.unwrap_or_else(|_| Err(format!("it took longer than {CASE_MAX:?}"))) {
                Ok(()) => say(&format!("ok      {}", case.name)),
                Err(what) => {
                    wrong += 1;
                    say(&format!("WRONG   {}\n        {what}\n        {}", case.name, case.promise));
                }
            }
        }
        say(&format!("{} of {} promises are kept", cases.len() - wrong, cases.len()));
        wrong
    }

    /// Makes a call, with so many attempts.
    async fn call(&self, activity: &str, input: Value, attempts: u32) -> Result<Said, String> {
        let call = calls::call(activity, self.queue.name(), input, attempts);
        let said = self.calls.make(vec![call]).await.map_err(|error| format!("{error:#}"))?;
        said.into_iter().next().ok_or_else(|| "nothing came of it".to_owned())
    }

    /// Makes a call for good: it has to be answered.
    async fn answer(&self, activity: &str, input: Value) -> Result<Value, String> {
        match self.call(activity, input, ATTEMPTS).await? {
            Said::Answer(answer) => Ok(answer),
            Said::Error(error) => Err(format!("{activity} failed {ATTEMPTS} times, the last time with: {error}")),
            Said::Silence => Err(format!("{activity} was not answered: is a worker running?")),
        }
    }

    /// Makes a call that has to be answered in a certain way.
    async fn expect(&self, activity: &str, input: Value, expected: &str) -> Result<Value, String> {
        let answer = self.answer(activity, input).await?;
        if answer["answer"] == expected {
            Ok(answer)
        } else {
            Err(format!("{activity} answered {answer} instead of \"{expected}\""))
        }
    }

    /// Asks how far something is for a booking: of what nothing is known nothing need be said.
    async fn stands(&self, activity: &str, booking: Uuid, expected: &str) -> Result<(), String> {
        let known = self.answer(activity, json!([booking])).await?;
        let standing = known[0]["standing"].as_str().unwrap_or("nothing");
        if standing == expected { Ok(()) } else { Err(format!("{activity} says {known} instead of \"{expected}\"")) }
    }

    /// Makes the same call several times at the same moment: all have to be answered, and alike.
    async fn together(&self, activity: &str, input: &Value) -> Result<Value, String> {
        let answers = join_all((0..AT_ONCE).map(|_| self.answer(activity, input.clone()))).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        match answers.iter().find(|answer| **answer != answers[0]) {
            None => Ok(answers[0].clone()),
            Some(other) => Err(format!("the same call at the same moment was answered {} and {other}", answers[0])),
        }
    }

    /// Makes calls that make no sense. Each has to fail, and the next good one has to be answered.
    async fn refuses(&self, activity: &str, nonsense: &[Value]) -> Result<(), String> {
        for input in nonsense {
            match self.call(activity, input.clone(), 1).await? {
                Said::Error(_) => {}
                Said::Answer(answer) => return Err(format!("{input} was answered {answer}, as if it meant something")),
                Said::Silence => return Err(format!("nobody works any more since {input}")),
            }
        }
        Ok(())
    }

    /// The stages that the customer of a booking was told of, sorted, as the worker's HTTP side lists them.
    async fn told(&self, booking: Uuid) -> Result<Vec<String>, String> {
        let url = format!("{}/messages/ebook", self.messages.as_str().trim_end_matches('/'));
        let request = self.http.get(url).query(&[("booking", booking)]).bearer_auth(self.secret.expose_secret());
        let read = async { request.send().await?.error_for_status()?.json::<Vec<Value>>().await };
        let listed = read.await.map_err(|error| format!("the messages cannot be read: {}", error.without_url()))?;
        let mut stages: Vec<String> =
            listed.iter().map(|message| message["stage"].as_str().unwrap_or_default().to_owned()).collect();
        stages.sort();
        Ok(stages)
    }
}
