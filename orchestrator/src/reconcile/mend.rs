//! Sets right what does not agree. What cannot be is found again by whoever compares afterwards.

use super::{Difference, Reconciler, What};
use crate::{host::Kind, recovery};
use temporalio_client::{WorkflowGetResultOptions, WorkflowStartOptions, WorkflowTerminateOptions};
use uuid::Uuid;
use workflows::{
    calls::Said,
    contracts::{self, board::Rows},
    recovery::{Place, Search, Sweep},
};

impl<S: Fn(&str)> Reconciler<'_, S> {
    pub(super) async fn mend(&self, mut found: Vec<Difference>) -> anyhow::Result<()> {
        // What was given back first, so that it does not stand in the way of whoever has it now. Sagas last: those that go on from
        // somewhere need what they hold.
        found.sort_by_key(|difference| match difference.what {
            What::Forgotten { is_back: true, .. } => 0,
            What::Forgotten { .. } => 1,
            What::BoardBehind { .. } => 2,
            What::SagaBehind { .. } | What::SagaGone | What::Unknown(_) => 3,
        });
        for difference in found {
            let line = difference.to_string();
            if let Err(error) = self.mend_one(difference).await {
                (self.say)(&format!("{line}: {error:#}"));
            }
        }
        // Whoever was behind has been replaced.
        self.board.freeze(false);
        for search in [Search::Rows, Search::Holds, Search::Charges] {
            self.search(search(Place { after: None, seconds: 0 })).await?;
        }
        Ok(())
    }

    async fn mend_one(&self, Difference { booking, workflow, what }: Difference) -> anyhow::Result<()> {
        match what {
            What::Forgotten { queue, again, .. } => {
                for said in self.calls.make(again).await? {
                    match said {
                        Said::Answer(_) => {}
                        Said::Error(error) => anyhow::bail!("{error}"),
                        Said::Silence => anyhow::bail!("is a {queue} worker running?"),
                    }
                }
            }
            What::BoardBehind { row, .. } => {
                self.board.publish(&Rows { rows: vec![*row], audits: Vec::new() }, None).await?;
            }
            What::SagaBehind { run, kind, .. } => self.replace(kind, booking, &workflow, &run).await?,
            // The searches find those, and nobody can help the others.
            What::SagaGone | What::Unknown(_) => {}
        }
        Ok(())
    }

    /// Has a saga that is behind the board replaced by one that goes on from there.
    async fn replace(
        &self,
        kind: &'static Kind,
        booking: workflows::booking::BookingId,
        workflow: &str,
        run: &str,
    ) -> anyhow::Result<()> {
        let reason = "the board shows a later version".to_owned();
        let saga = recovery::run_of(&self.temporal.client, workflow, run);
        saga.terminate(WorkflowTerminateOptions::builder().reason(reason).build()).await?;
        self.recovery.take_over_run(kind, booking, workflow, run).await?;
        Ok(())
    }

    /// Looks for bookings whose saga is gone, and has them taken over.
    async fn search(&self, search: Search) -> anyhow::Result<()> {
        let id = format!("recovery-reconcile-{}", Uuid::now_v7());
        let options = WorkflowStartOptions::new(contracts::recovery::QUEUE, id).build();
        let started = self.temporal.client.start_workflow(Sweep::run, search, options).await?;
        let recovered = started.get_result(WorkflowGetResultOptions::default()).await?;
        if recovered > 0 {
            (self.say)(&format!("{recovered} bookings whose saga was gone are taken over"));
        }
        Ok(())
    }
}
