//! The rental, by each candidate: how soon it is held, how many are told to their end, and what that takes.

use crate::{
    Plan,
    candidate::{Begun, Candidate, Field},
};
use dev::bench::{
    cpu_ms_each,
    load::{closed, open},
    quantile,
    report::{Aim, Better, Section},
};

pub const COMMAND: &str = "make bench ONLY=rentals";
pub const IN_FLIGHT: [usize; 3] = [1, 30, 100];
pub const RENTALS_IN_FLIGHT: usize = 30;
/// Arrivals each second in the open loop: what every candidate can bear.
const ARRIVALS: f64 = 8.0;
const TAIL_REQUESTS: usize = 1_000;
pub const FULL: &str = "full rentals each second, 30 in flight";
const PROGRAM_MEMORY: &str = "resident memory, program";

/// The sections of this comparison.
pub struct Sections {
    pub held: Section,
    pub whole: Section,
}

impl Sections {
    pub fn new() -> Self {
        Self {
            held: Section::new(
                "From request to held",
                "Closed loop: so many clients, each of which asks again when it has its answer. Open loop: requests at fixed times, timed \
                 from when they were due. Nothing else is under way; what is begun is finished before the next figure.",
                COMMAND,
            ),
            whole: Section::new(
                "Whole rentals",
                "Request, hold, charge, approval, return, with three messages, driven over HTTP by 30 clients; processor time of all \
                 processes of a candidate, shared by the rentals. The floor has no HTTP, database or payment provider, and its program \
                 is also the one that drives it. Versions of the others are those in `bench/peers`. What is written survives the end \
                 of any process; the end of the machine is survived by Postgres (ours, and all that DBOS has), which waits for the \
                 disk, while Temporal's store waits for it at checkpoints only. Restate has its defaults.",
                COMMAND,
            ),
        }
    }
}

/// One candidate's turn in one round.
pub async fn measure(field: &Field, candidate: Candidate, plan: &Plan, sections: &mut Sections) -> anyhow::Result<()> {
    field.prepare(candidate).await?;
    warm_up(field, candidate, plan).await?;
    let name = candidate.name();
    for in_flight in IN_FLIGHT {
        let took = held(field, candidate, in_flight, plan.requests).await?;
        add_quantiles(&mut sections.held, name, &format!("{in_flight} in flight"), &took);
    }
    let books = field.books(candidate, plan.requests).await?;
    let begun = open(ARRIVALS, books, async |book| field.begin(candidate, book).await).await;
    let took = finish_all(field, candidate, begun).await?;
    add_quantiles(&mut sections.held, name, &open_loop(), &took);

    let books = field.books(candidate, plan.rentals).await?;
    let before = field.used(candidate);
    let start = std::time::Instant::now();
    tell(field, candidate, books).await?;
    let took = start.elapsed().as_secs_f64();
    let after = field.used(candidate);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    sections.whole.add(name, FULL, "1/s", Better::More, plan.rentals as f64 / took);
    let cpu = cpu_ms_each(&before, &after, plan.rentals);
    for (process, ms) in &cpu {
        sections.whole.add(name, &format!("processor time each, {process}"), "ms", Better::Less, *ms);
    }
    sections.whole.add(name, "processor time each, all", "ms", Better::Less, cpu.values().sum());
    for (process, used) in after.iter().filter(|(process, _)| **process != "Postgres") {
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let memory = used.memory_bytes as f64 / 1_048_576.0;
        sections.whole.add(name, &format!("resident memory, {process}"), "MiB", Better::Less, memory);
    }
    Ok(())
}

fn open_loop() -> String {
    format!("{ARRIVALS} arrivals a second")
}

/// Our own tail: as many requests as it takes to see one of a thousand.
pub async fn tail(field: &Field, section: &mut Section) -> anyhow::Result<()> {
    let candidate = Candidate::Holdfast;
    field.prepare(candidate).await?;
    for in_flight in IN_FLIGHT {
        let took = held(field, candidate, in_flight, TAIL_REQUESTS).await?;
        add_quantiles(section, candidate.name(), &format!("{in_flight} in flight"), &took);
    }
    Ok(())
}

pub fn tail_section() -> Section {
    Section::new(
        "The tail",
        "As above, from request to held, a thousand requests at each level, and only ours: the slowest of a thousand.",
        "make bench ONLY=tail",
    )
}

/// How long each of some requests took to be held, with so many at a time.
async fn held(field: &Field, candidate: Candidate, in_flight: usize, requests: usize) -> anyhow::Result<Vec<f64>> {
    let books = field.books(candidate, requests).await?;
    let begun = closed(in_flight, books, async |book| field.begin(candidate, book).await).await;
    finish_all(field, candidate, begun).await
}

/// The quantiles that so many values can tell.
fn add_quantiles(section: &mut Section, candidate: &str, load: &str, took: &[f64]) {
    for (label, share, values) in [("p50", 0.5, 1), ("p99", 0.99, 100), ("p99.9", 0.999, 1_000)] {
        if took.len() >= values {
            section.add(candidate, &format!("{load}, {label}"), "ms", Better::Less, quantile(took, share));
        }
    }
}

async fn warm_up(field: &Field, candidate: Candidate, plan: &Plan) -> anyhow::Result<()> {
    let books = field.books(candidate, plan.requests / 4).await?;
    tell(field, candidate, books).await
}

/// Some full rentals.
pub async fn tell(field: &Field, candidate: Candidate, books: Vec<i64>) -> anyhow::Result<()> {
    let told = closed(RENTALS_IN_FLIGHT, books, async |book| {
        let begun = field.begin_for(candidate, book, "member", Some("wait=30")).await?;
        field.finish(candidate, &begun).await
    });
    told.await.into_iter().try_for_each(|(_, told)| told)
}

/// Brings to their ends what was begun, before anything else is measured. Gives back how long each took to begin.
pub async fn finish_all(
    field: &Field,
    candidate: Candidate,
    begun: Vec<(f64, anyhow::Result<Begun>)>,
) -> anyhow::Result<Vec<f64>> {
    let (took, begun): (Vec<f64>, Vec<_>) = begun.into_iter().unzip();
    let begun = begun.into_iter().collect::<anyhow::Result<Vec<Begun>>>()?;
    let finished = closed(RENTALS_IN_FLIGHT, begun, async |begun| field.finish(candidate, &begun).await).await;
    finished.into_iter().try_for_each(|(_, finished)| finished)?;
    Ok(took)
}

/// What we aim at beside the others.
pub fn aims(Sections { held, whole }: &Sections) -> Vec<Aim> {
    let mut aims = Vec::new();
    let ours = Candidate::Holdfast.name();
    let mut ratio = |what: &str, section: &Section, figure: &str, theirs: Candidate, better, aim: f64| {
        let (mine, other) = (section.median(ours, figure), section.median(theirs.name(), figure));
        if let (Some(mine), Some(other)) = (mine, other) {
            aims.push(Aim {
                what: format!("{what}: Holdfast / {}", theirs.name()),
                aim,
                reached: mine / other,
                better,
            });
        }
    };
    let p50 = format!("{}, p50", open_loop());
    let (p50, alone, p99, all) = (p50.as_str(), "1 in flight, p50", "30 in flight, p99", "processor time each, all");
    ratio("full rentals each second", whole, FULL, Candidate::Floor, Better::More, 0.9);
    ratio("full rentals each second", whole, FULL, Candidate::Queues, Better::More, 1.7);
    ratio("request to held, p50", held, p50, Candidate::Queues, Better::Less, 0.4);
    ratio("request to held, p50, one at a time", held, alone, Candidate::Queues, Better::Less, 0.4);
    ratio("request to held at 30, p99", held, p99, Candidate::Queues, Better::Less, 1.0);
    ratio("full rentals each second", whole, FULL, Candidate::Go, Better::More, 1.2);
    ratio("request to held, p50", held, p50, Candidate::Go, Better::Less, 0.7);
    ratio("request to held, p50, one at a time", held, alone, Candidate::Go, Better::Less, 0.7);
    ratio("memory of the program", whole, PROGRAM_MEMORY, Candidate::Go, Better::Less, 0.5);
    ratio("processor time of the program", whole, "processor time each, program", Candidate::Python, Better::Less, 0.1);
    ratio("full rentals each second", whole, FULL, Candidate::Restate, Better::More, 1.0);
    ratio("request to held, p50", held, p50, Candidate::Restate, Better::Less, 1.0);
    ratio("request to held, p50, one at a time", held, alone, Candidate::Restate, Better::Less, 1.0);
    ratio("full rentals each second", whole, FULL, Candidate::Dbos, Better::More, 3.0);
    ratio("request to held, p50", held, p50, Candidate::Dbos, Better::Less, 1.0 / 3.0);
    ratio("request to held, p50, one at a time", held, alone, Candidate::Dbos, Better::Less, 1.0 / 3.0);
    let (own, every) = (whole.median(ours, "processor time each, program"), whole.median(ours, all));
    if let (Some(own), Some(every)) = (own, every) {
        let what = "share of our own processes in all processor time".to_owned();
        aims.push(Aim { what, aim: 0.05, reached: own / every, better: Better::Less });
    }
    aims
}
