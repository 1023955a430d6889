//! The short road: what a saga asks of a worker is asked over HTTP, from the process that hosts the saga. Whatever comes of it but
//! an answer, the saga takes the long road, through the worker's queue (see `workflows::saga`). Money only goes over the long one.
#![expect(dead_code, reason = "the SDK's macro makes a constant of each activity, for workflows that call it by type")]

use crate::worker::{Settings, Worker};
use anyhow::Context;
use std::sync::Arc;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::contracts::{
    catalog, fulfilment, notification,
    road::{Answered, Ask, Asked, PATIENCE, WORKFLOW_HEADER, Written},
};

/// The workers, as sagas ask them. Each with a breaker of its own: one that is known to be ill is not waited for.
pub(crate) struct Activities {
    catalog: Worker,
    notification: Worker,
    fulfilment: Worker,
}

impl Activities {
    pub(crate) fn new(workers: &Settings) -> Result<Self, reqwest::Error> {
        let worker = |name, base| Worker::new(name, base, &workers.secret);
        Ok(Self {
            catalog: worker("the short road to catalog", &workers.catalog)?,
            notification: worker("the short road to notification", &workers.notification)?,
            fulfilment: worker("the short road to fulfilment", &workers.fulfilment)?,
        })
    }

    fn worker(&self, queue: &str) -> Option<&Worker> {
        match queue {
            catalog::QUEUE => Some(&self.catalog),
            notification::QUEUE => Some(&self.notification),
            fulfilment::QUEUE => Some(&self.fulfilment),
            _ => None,
        }
    }
}

#[activities]
impl Activities {
    #[activity(definition = Ask)]
    async fn ask(self: Arc<Self>, context: ActivityContext, asked: Asked) -> Result<Answered, ActivityError> {
        let answer = async {
            let worker = self.worker(&asked.queue).context("there is no short road")?;
            let request = worker.client.post(format!("{}/contracts/{}", worker.base, asked.contract)).timeout(PATIENCE);
            let workflow = context.info().workflow_id.as_deref().unwrap_or_default();
            let answer = worker.ask(request.header(WORKFLOW_HEADER, workflow).json(&asked.input)).await?;
            answer.context("it does not keep this contract here")
        };
        let answer = answer.await?;
        Ok(Answered { asked, answer })
    }

    #[activity(definition = Written)]
    #[expect(clippy::unused_async, reason = "activities are asynchronous, also those that do nothing")]
    async fn written(_: ActivityContext) -> Result<(), ActivityError> {
        Ok(())
    }
}
