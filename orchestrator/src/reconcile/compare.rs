//! Finds what does not agree. Nothing is changed.

use super::{Difference, Reconciler, Subject, What, facts, facts::Fact};
use crate::{calls, host, recovery};
use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{collections::HashMap, pin::pin, time::Duration};
use temporalio_client::WorkflowListOptions;
use workflows::{
    booking::{BookingId, Row},
    calls::Said,
    contracts::{
        Contract as _, Stand, Standing, catalog, fulfilment,
        notification::{self, Heard},
        payment,
        recovery::{Claim, OpenAfter},
    },
};

/// So many bookings are compared at once, with so many of their histories on the way at the same time.
const PAGE: usize = 100;
const AT_ONCE: usize = 8;
/// A row and its saga are read one after the other: what differs is looked at again.
const LOOKS: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often workers are asked how things stand.
const ATTEMPTS: u32 = 5;

/// A booking with what its workers have answered.
type Answered<'s> = (&'s Subject, Vec<Fact>);

impl<S: Fn(&str)> Reconciler<'_, S> {
    /// The bookings that are open, and those that have ended of late. Beside them, those that are open on the board, and no saga
    /// runs.
    pub(super) async fn subjects(&self, since: DateTime<Utc>) -> anyhow::Result<(Vec<Subject>, Vec<Difference>)> {
        let kinds: Vec<_> = host::SAGAS.iter().map(|kind| format!("'{}'", kind.workflow)).collect();
        let ours = format!("WorkflowType in ({})", kinds.join(", "));
        let running = format!("{ours} and ExecutionStatus = 'Running'");
        let ended = format!("{ours} and ExecutionStatus = 'Completed' and CloseTime > '{}'", since.to_rfc3339());
        let (mut subjects, mut gone) = (HashMap::new(), Vec::new());
        for (query, is_running) in [(running, true), (ended, false)] {
            let mut runs = pin!(self.temporal.client.list_workflows(&query, WorkflowListOptions::default()));
            while let Some(run) = runs.try_next().await.context("the list of bookings")? {
                if let Some((kind, booking)) = host::kind_of(run.id()) {
                    let (workflow, run) = (run.id().to_owned(), run.run_id().to_owned());
                    subjects.entry(booking).or_insert(Subject { booking, kind, workflow, run, is_running });
                }
            }
        }
        let mut page = OpenAfter { after: None, seconds: 0 };
        loop {
            let open = self.board.open_bookings(&page).await?.claims;
            let Some(last) = open.last() else { break };
            page.after = Some(last.booking);
            // Temporal's list lags behind, above all when it has just been started.
            for Claim { booking, workflow, .. } in open {
                if !subjects.contains_key(&booking)
                    && let Some((kind, _)) = host::kind_of(&workflow)
                {
                    match recovery::running(&self.temporal.client, &workflow).await? {
                        Some(run) => {
                            let subject = Subject { booking, kind, workflow, run, is_running: true };
                            subjects.insert(booking, subject);
                        }
                        None => gone.push(Difference { booking, workflow, what: What::SagaGone }),
                    }
                }
            }
        }
        Ok((subjects.into_values().collect(), gone))
    }

    pub(super) async fn compare(&self, subjects: &[Subject]) -> Vec<Difference> {
        let mut found = Vec::new();
        for (number, page) in subjects.chunks(PAGE).enumerate() {
            found.extend(self.compare_page(page).await);
            (self.say)(&format!("{} of {} bookings compared ...", number * PAGE + page.len(), subjects.len()));
        }
        found
    }

    async fn compare_page(&self, page: &[Subject]) -> Vec<Difference> {
        let looked = stream::iter(page).map(async |subject| (subject, self.compare_row(subject).await));
        let looked: Vec<_> = looked.buffered(AT_ONCE).collect().await;
        let (mut found, mut answered) = (Vec::new(), Vec::new());
        for (subject, outcome) in looked {
            match outcome {
                Ok((what, facts)) => {
                    found.extend(what.map(|what| subject.differs(what)));
                    answered.push((subject, facts));
                }
                Err(error) => found.push(subject.differs(What::Unknown(error))),
            }
        }
        found.extend(self.compare_stands::<catalog::Stands>(&answered).await);
        found.extend(self.compare_stands::<payment::Stands>(&answered).await);
        found.extend(self.compare_stands::<fulfilment::Stands>(&answered).await);
        found.extend(self.compare_messages(&answered).await);
        found
    }

    /// Compares a booking with its row, and reads what it was answered.
    async fn compare_row(&self, subject: &Subject) -> anyhow::Result<(Option<What>, Vec<Fact>)> {
        let facts = facts::facts(&self.temporal.client, &subject.workflow, &subject.run).await?;
        let mut what = None;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            // The row first: its saga knows what it has published.
            let shown = self.board.all_of(&[subject.booking]).await?.pop();
            if shown.as_ref().is_some_and(|row| row.ending.is_some()) {
                return Ok((None, facts));
            }
            let known = recovery::row_of(&self.temporal.client, &subject.workflow, &subject.run).await?;
            let Some(known) = known.filter(|row| row.version > 0) else { return Ok((None, facts)) };
            what = match shown {
                Some(shown) if subject.is_running && is_ahead(&shown, &known) => Some(What::SagaBehind {
                    run: subject.run.clone(),
                    kind: subject.kind,
                    shown: shown.version,
                    known: known.version,
                }),
                Some(shown) if shown.version >= known.version => return Ok((None, facts)),
                shown => Some(What::BoardBehind { row: Box::new(known), shown: shown.map(|row| row.version) }),
            };
        }
        Ok((what, facts))
    }

    /// Compares what a worker has answered with how things stand in its tables.
    async fn compare_stands<C>(&self, answered: &[Answered<'_>]) -> Vec<Difference>
    where
        C: workflows::contracts::Contract,
    {
        let judge = |facts: &[&Fact], known: Option<&Stand>| {
            let known = known.map(|stand| stand.standing).unwrap_or_default();
            let answered = facts.iter().map(|fact| fact.standing).max().filter(|answered| *answered > known)?;
            // What was given back is not claimed once more, only for that: somebody else may have it by now. Money is followed on
            // its whole way.
            let is_back = answered == Standing::Back;
            let wanted = |fact: &&&Fact| !is_back || C::QUEUE == payment::QUEUE || fact.standing == Standing::Back;
            let again = facts.iter().filter(wanted).map(|fact| fact.again.clone()).collect();
            let (answered, known) = (answered.to_string(), known.to_string());
            Some(What::Forgotten { queue: C::QUEUE, answered, known, is_back, again })
        };
        self.compare_queue(C::QUEUE, C::NAME, answered, |stand: &Stand| stand.booking, judge).await
    }

    async fn compare_messages(&self, answered: &[Answered<'_>]) -> Vec<Difference> {
        let judge = |facts: &[&Fact], known: Option<&Heard>| {
            let stage = |fact: &Fact| fact.again.input["stage"].as_str().unwrap_or_default().to_owned();
            let is_known = |fact: &Fact| known.is_some_and(|known| known.stages.contains(&stage(fact)));
            let untold: Vec<_> = facts.iter().filter(|fact| !is_known(fact)).collect();
            (!untold.is_empty()).then(|| What::Forgotten {
                queue: notification::QUEUE,
                answered: untold.iter().map(|fact| stage(fact)).collect::<Vec<_>>().join(" and "),
                known: "no such message".to_owned(),
                is_back: false,
                again: untold.iter().map(|fact| fact.again.clone()).collect(),
            })
        };
        let (queue, activity) = (notification::QUEUE, notification::Told::NAME);
        self.compare_queue(queue, activity, answered, |heard: &Heard| heard.booking, judge).await
    }

    /// Asks the workers of a queue what they know of those bookings that they have answered something for.
    async fn compare_queue<T: DeserializeOwned>(
        &self,
        queue: &'static str,
        activity: &str,
        answered: &[Answered<'_>],
        booking: impl Fn(&T) -> BookingId,
        judge: impl Fn(&[&Fact], Option<&T>) -> Option<What>,
    ) -> Vec<Difference> {
        let mut about: Vec<(&Subject, Vec<&Fact>)> = Vec::new();
        for (subject, facts) in answered {
            let facts: Vec<&Fact> = facts.iter().filter(|fact| fact.queue == queue).collect();
            if !facts.is_empty() {
                about.push((subject, facts));
            }
        }
        if about.is_empty() {
            return Vec::new();
        }
        let asked: Vec<BookingId> = about.iter().map(|(subject, _)| subject.booking).collect();
        let known: HashMap<BookingId, T> = match self.answered::<Vec<T>>(queue, activity, json!(asked), ATTEMPTS).await
        {
            Ok(known) => known.into_iter().map(|known| (booking(&known), known)).collect(),
            Err(error) => {
                let unknown = |subject: &Subject| subject.differs(What::Unknown(anyhow::anyhow!("{error:#}")));
                return about.iter().map(|(subject, _)| unknown(subject)).collect();
            }
        };
        let differ = |(subject, facts): &(&Subject, Vec<&Fact>)| {
            judge(facts, known.get(&subject.booking)).map(|what| subject.differs(what))
        };
        about.iter().filter_map(differ).collect()
    }

    /// Asks a worker.
    pub(super) async fn answered<T: DeserializeOwned>(
        &self,
        queue: &str,
        activity: &str,
        input: Value,
        attempts: u32,
    ) -> anyhow::Result<T> {
        let said = self.calls.make(vec![calls::call(activity, queue, input, attempts)]).await?;
        match said.into_iter().next() {
            Some(Said::Answer(answer)) => serde_json::from_value(answer).context(activity.to_owned()),
            Some(Said::Error(error)) => bail!("{activity} failed: {error}"),
            Some(Said::Silence) | None => bail!("{activity} was not answered: is a {queue} worker running?"),
        }
    }
}

/// Does a row tell of something that its saga knows nothing of? A later version does, and a stage that it has never been at: a saga
/// that was restored may have gone on in another direction since.
fn is_ahead(shown: &Row, known: &Row) -> bool {
    shown.version > known.version || shown.times.keys().any(|stage| !known.times.contains_key(stage))
}

impl Subject {
    fn differs(&self, what: What) -> Difference {
        Difference { booking: self.booking, workflow: self.workflow.clone(), what }
    }
}
