//! The matrix as a page: `docs/fault-matrix.md`.

use super::{
    pairs::{self, Stage},
    steps::{self, Fault},
    turns,
};
use orchestrator::host;
use std::{collections::BTreeMap, fmt::Write};

const HEAD: &str = "# The fault matrix

Every step, every undo and every step after the point of no return that the six sagas declare, with everything that can go
wrong with it; and every two things that people and clocks may do to a rental, at every stage. Written by
`orchestrator/tests/it/faults.rs`, which plays each case on the real stack and checks afterwards: our ledger is what the
provider's books say, for the booking and for all of them together; its postings add up to zero; the item is held as long as
the booking lives, and no longer; the board says what the saga knows; every announced stage was told once.

A cell says how the booking ended. A dash is no case: an undo has no undo, and not every worker a provider.

| fault | how it comes about |
|---|---|
| refused | somebody else has the item; the card is declined; a worker says that it cannot be done for now |
| error before effect | the worker fails twice before it does anything |
| error after effect | the worker does it and reports a failure, twice |
| timeout before effect | nobody answers within the limit, and nothing is done: for a step the saga turns back, for what must be done the next round asks again |
| timeout after effect | it is done, and the answer comes when the limit has long passed |
| answer lost | the provider does it and closes the connection without a reply; a worker's own database commits and the worker hears an error |
| provider late | the provider takes effect when the worker has given the call up and asked again |
| run twice at once | an attempt that Temporal has given up runs at the same time as the next one |
| undo runs first | the step is on its way until its undo is done; then it arrives |
| worker gone before, after effect | the completion never reaches Temporal, as when the worker is killed (`orchestrator/tests/it/alone/gone.rs` shows with `SIGKILL` that this is the same) |
";

pub fn page(endings: &BTreeMap<&str, &str>) -> String {
    let ending = |name: String| endings.get(name.as_str()).copied().unwrap_or("-").to_owned();
    let mut page = HEAD.to_owned();

    for kind in host::SAGAS {
        let targets = steps::targets(kind);
        write!(page, "\n## Steps and undos: {}\n\n| fault |", kind.system).unwrap();
        for target in &targets {
            write!(page, " {} |", target.name()).unwrap();
        }
        page.push_str("\n|---|");
        page.push_str(&"---|".repeat(targets.len()));
        for fault in Fault::ALL {
            write!(page, "\n| {} |", fault.name()).unwrap();
            for target in &targets {
                write!(page, " {} |", ending(steps::name(kind, *target, *fault))).unwrap();
            }
        }
        page.push('\n');
    }

    page.push_str("\n## Cancellation, decision and deadline, in pairs\n\nWhat was answered to the first and to the second, and how the rental ended. A rental that nobody has decided on is cancelled in the end, and a lent book brought back.\n");
    for stage in Stage::ALL {
        write!(page, "\n### While it is {}\n\n| first, then | answers | ending |\n|---|---|---|\n", stage.name())
            .unwrap();
        for (first, second) in pairs::pairs(*stage) {
            let cell = ending(pairs::name(*stage, first, second));
            let (answers, ended) = cell.split_once(": ").unwrap_or(("-", &cell));
            writeln!(page, "| {}, {} | {answers} | {ended} |", first.name(), second.name()).unwrap();
        }
    }
    page.push_str("\n## What people say, in pairs: the other systems\n\nAs above. What nobody has ended is cancelled in the end, or taken to its end where that is too late.\n");
    for (kind, turn) in turns::turns() {
        write!(page, "\n### {} at {}\n\n| first, then | answers | ending |\n|---|---|---|\n", kind.system, turn.stage)
            .unwrap();
        for (acts, name) in turns::names(kind, turn) {
            let cell = ending(name);
            let (answers, ended) = cell.split_once(": ").unwrap_or(("-", &cell));
            writeln!(page, "| {acts} | {answers} | {ended} |").unwrap();
        }
    }
    page
}
