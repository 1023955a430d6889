//! The report: figures by candidate, as a table for people and as JSON for programs.

use super::{median, quantile};
use serde::Serialize;
use std::{
    collections::BTreeMap, ffi::OsStr, fmt::Write, path::PathBuf, process::Command, thread::available_parallelism,
};

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Times, costs.
    Less,
    /// Rates.
    More,
}

/// One figure, of all candidates.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is measured.
    pub figure: String,
    /// In what.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// By candidate: a value of each round.
    pub values: BTreeMap<String, Vec<f64>>,
}

/// Figures that belong together, with the command that measures them.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// How it is measured.
    pub how: String,
    /// What measures it again.
    pub command: String,
    /// The figures.
    pub rows: Vec<Row>,
    /// What cannot be said in figures.
    pub notes: Vec<String>,
}

/// What was aimed at, and reached.
#[derive(Clone, Debug, Serialize)]
pub struct Aim {
    /// What.
    pub what: String,
    /// The figure to reach.
    pub aim: f64,
    /// What was reached.
    pub reached: f64,
    /// Which way is better.
    pub better: Better,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What it was measured on.
    pub machine: Vec<(String, String)>,
    /// The order of the columns.
    pub candidates: Vec<String>,
    /// The figures.
    pub sections: Vec<Section>,
    /// What they are held against.
    pub aims: Vec<Aim>,
}

impl Section {
    /// An empty one.
    #[must_use]
    pub fn new(title: &str, how: &str, command: &str) -> Self {
        let (title, how, command) = (title.to_owned(), how.to_owned(), command.to_owned());
        Self { title, how, command, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a value to a figure of a candidate.
    pub fn add(&mut self, candidate: &str, figure: &str, unit: &'static str, better: Better, value: f64) {
        let place = self.rows.iter().position(|row| row.figure == figure).unwrap_or_else(|| {
            self.rows.push(Row { figure: figure.to_owned(), unit, better, values: BTreeMap::new() });
            self.rows.len() - 1
        });
        self.rows[place].values.entry(candidate.to_owned()).or_default().push(value);
    }

    /// The median of a figure, where it was measured.
    #[must_use]
    pub fn median(&self, candidate: &str, figure: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.figure == figure)?;
        row.values.get(candidate).map(|values| median(values))
    }
}

impl Aim {
    /// Is it reached?
    #[must_use]
    pub fn is_reached(&self) -> bool {
        match self.better {
            Better::Less => self.reached <= self.aim,
            Better::More => self.reached >= self.aim,
        }
    }
}

impl Report {
    /// The report for people.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "# Benchmarks\n\nWritten by `make bench`. Shared machines are noisy: compare the columns of one run, not the figures of two. Each cell is\n\
             the median of all rounds, with the least and the most behind it; rounds alternate between the candidates.\n\n",
        );
        for (name, value) in &self.machine {
            let _ = writeln!(text, "- {name}: {value}");
        }
        if !self.aims.is_empty() {
            let _ = writeln!(text, "\n## Aims\n\n| what | aim | reached | |\n|---|---|---|---|");
        }
        for aim in &self.aims {
            let sign = if aim.better == Better::Less { "≤" } else { "≥" };
            let verdict = if aim.is_reached() { "yes" } else { "**no**" };
            let _ = writeln!(text, "| {} | {sign} {} | {} | {verdict} |", aim.what, short(aim.aim), short(aim.reached));
        }
        for section in &self.sections {
            self.write_section(&mut text, section);
        }
        text
    }

    fn write_section(&self, text: &mut String, section: &Section) {
        let _ = writeln!(text, "\n## {}\n\n{} (`{}`)\n", section.title, section.how, section.command);
        // Candidates in their order, and what else is compared as it came.
        let mut columns: Vec<&String> = Vec::new();
        let measured = section.rows.iter().flat_map(|row| row.values.keys());
        for name in
            self.candidates.iter().filter(|name| measured.clone().any(|other| other == *name)).chain(measured.clone())
        {
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
        if !columns.is_empty() {
            let names: Vec<&str> = columns.iter().map(|name| name.as_str()).collect();
            let _ = writeln!(text, "| figure | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
        }
        for row in &section.rows {
            let cells =
                columns.iter().map(|name| row.values.get(*name).map_or_else(String::new, |values| cell(values)));
            let unit = if row.unit.is_empty() { String::new() } else { format!(", {}", row.unit) };
            let _ = writeln!(text, "| {}{unit} | {} |", row.figure, cells.collect::<Vec<_>>().join(" | "));
        }
        for note in &section.notes {
            let _ = writeln!(text, "\n{note}");
        }
    }
}

fn cell(values: &[f64]) -> String {
    if let [only] = values {
        return short(*only);
    }
    format!("{} ({}–{})", short(median(values)), short(quantile(values, 0.0)), short(quantile(values, 1.0)))
}

/// As many digits as are believed.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// What it is measured on, and with which versions of some servers.
#[must_use]
pub fn machine(servers: &[PathBuf]) -> Vec<(String, String)> {
    let read = |path: &str, name: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once([':', '=']).map(|(_, value)| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
    };
    let said = |program: &dyn AsRef<OsStr>, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let cores = available_parallelism().map_or(0, std::num::NonZero::get);
    let facts = [
        ("Processor", format!("{cores} cores, {}", read("/proc/cpuinfo", "model name"))),
        ("Memory", read("/proc/meminfo", "MemTotal")),
        ("System", format!("{}, Linux {}", read("/etc/os-release", "PRETTY_NAME"), said(&"uname", &["-r"]))),
        ("Servers", servers.iter().map(|server| said(server, &["--version"])).collect::<Vec<_>>().join("; ")),
        ("Commit", said(&"git", &["describe", "--always", "--dirty"])),
        ("Day", said(&"date", &["--utc", "+%F"])),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
