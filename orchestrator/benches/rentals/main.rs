//! `make bench`: what bookings cost, beside what else somebody would rent books with, on this machine in one run.
//!
//! The figures go to the screen, as a table to `docs/benchmarks.md` and as JSON beside it in `target/bench.json`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark tells what it does")]

mod candidate;
mod faults;
mod feed;
mod floor;
mod growth;
mod rentals;
mod seeds;
mod systems;

use candidate::{Candidate, Field};
use clap::Parser;
use dev::bench::report::{Report, Section, machine};
use std::{path::Path, time::Instant};
use tokio_util::sync::CancellationToken;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often each candidate has its turn.
    pub rounds: usize,
    /// For the latency at each level, in each round.
    pub requests: usize,
    /// For the throughput, in each round.
    pub rentals: usize,
}

const QUICK: Plan = Plan { rounds: 1, requests: 60, rentals: 100 };
const FULL: Plan = Plan { rounds: 3, requests: 100, rentals: 150 };

/// Measures.
#[derive(Parser)]
struct Arguments {
    /// Said by `cargo bench`; without it nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
    /// Two minutes: one round of the rentals, ours and the floor's, unless others are named.
    #[arg(long)]
    quick: bool,
    /// Only these parts of the report.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these candidates.
    #[arg(long, value_delimiter = ',', value_parser = |name: &str| Candidate::named(name).ok_or("expected one of holdfast, queues, floor, go, python, restate, dbos"))]
    candidates: Vec<Candidate>,
}

impl Arguments {
    fn plan(&self) -> Plan {
        if self.quick { QUICK } else { FULL }
    }

    fn candidates(&self) -> Vec<Candidate> {
        match (&self.candidates[..], self.quick) {
            ([], true) => vec![Candidate::Holdfast, Candidate::Floor],
            ([], false) => Candidate::ALL.to_vec(),
            (chosen, _) => chosen.to_vec(),
        }
    }

    fn wants(&self, part: &str) -> bool {
        match &self.only[..] {
            [] => !self.quick || part == "rentals",
            only => only.iter().any(|wanted| wanted == part),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // `cargo test --benches` and the like only want to know that it builds.
    if !arguments.bench {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("holdfast-bench-{}", std::process::id()));
    let began = Instant::now();
    let say = |what: &str| println!("{:>5} s  {what}", began.elapsed().as_secs());
    let (plan, candidates) = (arguments.plan(), arguments.candidates());
    let mut report = Report {
        machine: machine(&dev::stack::servers()?),
        candidates: candidates.iter().map(|candidate| candidate.name().to_owned()).collect(),
        sections: Vec::new(),
        aims: Vec::new(),
    };
    let field = Field::start(&folder, &candidates).await?;
    let stop = CancellationToken::new();
    let hosted = floor::host(field.temporal.clone(), field.stages.clone(), stop.clone().cancelled_owned());
    let measured = async {
        let measured = measure(&field, arguments, plan, &candidates, &mut report, &say).await;
        stop.cancel();
        measured
    };
    let ((), measured) = tokio::join!(hosted, measured);
    drop(field);
    // Also what was measured before something broke.
    let text = report.markdown();
    println!("{text}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::write(root.join("target/bench.json"), serde_json::to_vec_pretty(&report)?)?;
    // A part of the figures is not the report. One in which something broke says so.
    if !arguments.quick && arguments.only.is_empty() && arguments.candidates.is_empty() {
        std::fs::write(root.join("docs/benchmarks.md"), text)?;
    }
    measured?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// What breaks a part of the report is told there.
fn told(measured: anyhow::Result<()>, section: &mut Section) -> Option<anyhow::Error> {
    let error = measured.err()?;
    section.notes.push(format!("It did not get through in this run: {error:#}"));
    Some(error)
}

/// A peer that does not get through is part of the report; if we do not, there is none.
fn noted(candidate: Candidate, measured: anyhow::Result<()>, section: &mut Section) -> anyhow::Result<()> {
    match measured {
        Err(error) if Candidate::PEERS.contains(&candidate) => {
            eprintln!("{}: {error:#}", candidate.name());
            section.notes.push(format!("{} did not get through once: {error:#}", candidate.name()));
            Ok(())
        }
        measured => measured,
    }
}

async fn measure(
    field: &Field,
    arguments: &Arguments,
    plan: Plan,
    candidates: &[Candidate],
    report: &mut Report,
    say: &impl Fn(&str),
) -> anyhow::Result<()> {
    // A part that breaks leaves the others their place in the report.
    let mut broken = Vec::new();
    let mut after = Vec::new();
    // First: the provider's books are short yet.
    if arguments.wants("faults") {
        let mut section = faults::section();
        for candidate in candidates.iter().filter(|candidate| **candidate != Candidate::Floor) {
            say(&format!("faults: {}", candidate.name()));
            let measured = faults::measure(field, *candidate, &mut section).await;
            broken.extend(noted(*candidate, measured, &mut section).err());
        }
        after.push(section);
    }
    if arguments.wants("rentals") {
        let mut sections = rentals::Sections::new();
        for round in 1..=plan.rounds {
            for candidate in candidates {
                say(&format!("rentals, round {round} of {}: {}", plan.rounds, candidate.name()));
                let measured = rentals::measure(field, *candidate, &plan, &mut sections).await;
                broken.extend(noted(*candidate, measured, &mut sections.whole).err());
            }
        }
        report.aims.extend(rentals::aims(&sections));
        let rentals::Sections { held, whole } = sections;
        report.sections.extend([held, whole]);
    }
    report.sections.append(&mut after);
    if arguments.wants("tail") {
        say("the tail");
        let mut section = rentals::tail_section();
        let measured = rentals::tail(field, &mut section).await;
        broken.extend(told(measured, &mut section));
        report.sections.push(section);
    }
    if arguments.wants("systems") {
        let mut section = systems::section();
        for round in 1..=plan.rounds {
            say(&format!("systems, round {round} of {}", plan.rounds));
            let measured = systems::measure(field, &plan, &mut section).await;
            broken.extend(told(measured, &mut section));
        }
        report.sections.push(section);
    }
    if arguments.wants("seeds") {
        say("the load of the forerunners");
        let mut section = seeds::section();
        let measured = seeds::measure(field, &mut section).await;
        broken.extend(told(measured, &mut section));
        report.aims.extend(seeds::aims(&section));
        report.sections.push(section);
    }
    if arguments.wants("feed") {
        say("a thousand listeners");
        let mut section = feed::section();
        let measured = feed::measure(field, &mut section).await;
        broken.extend(told(measured, &mut section));
        report.sections.push(section);
    }
    if arguments.wants("growth") {
        say(&format!("growth: {} open bookings", growth::OPEN));
        let mut section = growth::section();
        let measured = growth::measure(field, &plan, &mut section, &say).await;
        broken.extend(told(measured, &mut section));
        report.aims.extend(growth::aims(&section));
        report.sections.push(section);
    }
    for error in &broken {
        eprintln!("{error:#}");
    }
    anyhow::ensure!(broken.is_empty(), "{} parts of the report are not whole", broken.len());
    Ok(())
}
