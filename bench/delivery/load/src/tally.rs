//! What came, to slow clients and to the others.

use std::time::Duration;

use serde_json::{json, Value};

use crate::histogram::Histogram;

/// What one packet was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Quote,
    Delta,
    /// A whole quote, to a client that asked for deltas.
    Whole,
    Trade,
    Portfolio,
    Compressed,
}

/// The figures of some of the clients.
pub struct Group {
    all: Histogram,
    over_time: Vec<Histogram>,
    shown: Histogram,
    shown_over_time: Vec<Histogram>,
    by_symbol: Vec<Histogram>,
    trades: Histogram,
    /// Quotes that were older than one of the same symbol before.
    pub older: u64,
    pub disordered: u64,
    pub doubled: u64,
}

impl Group {
    fn new(symbols: usize) -> Group {
        Group {
            all: Histogram::new(),
            over_time: Vec::new(),
            shown: Histogram::new(),
            shown_over_time: Vec::new(),
            by_symbol: vec![Histogram::new(); symbols],
            trades: Histogram::new(),
            older: 0,
            disordered: 0,
            doubled: 0,
        }
    }

    fn report(&self) -> Value {
        let worst = self.by_symbol.iter().map(|one| one.percentile(0.99)).fold(0.0, f64::max);
        let series = |some: &[Histogram]| some.iter().map(Histogram::report).collect::<Vec<_>>();
        json!({
            "age": self.all.report(),
            "ageOfWorstSymbolP99": worst,
            "ageOverTime": series(&self.over_time),
            "shown": self.shown.report(),
            "shownOverTime": series(&self.shown_over_time),
            "trades": self.trades.report(),
            "older": self.older,
            "disordered": self.disordered,
            "doubled": self.doubled,
        })
    }
}

pub struct Tally {
    pub slow: Group,
    pub others: Group,
    bucket: u64,
    warm: u64,
    begun: u64,
    counts: [u64; 6],
    bytes: [u64; 6],
}

impl Tally {
    /// Times from `begun` on, by `bucket`; what comes within `warm` of it is only in the series.
    pub fn new(symbols: usize, begun: u64, bucket: Duration, warm: Duration) -> Tally {
        Tally {
            slow: Group::new(symbols),
            others: Group::new(symbols),
            bucket: bucket.as_micros() as u64,
            warm: warm.as_micros() as u64,
            begun,
            counts: [0; 6],
            bytes: [0; 6],
        }
    }

    pub fn group(&mut self, slow: bool) -> &mut Group {
        if slow {
            &mut self.slow
        } else {
            &mut self.others
        }
    }

    /// A packet came, of so many bytes on the wire.
    pub fn came(&mut self, kind: Kind, bytes: usize) {
        self.counts[kind as usize] += 1;
        self.bytes[kind as usize] += bytes as u64;
    }

    /// Seconds of a point in the series.
    pub fn bucket_seconds(&self) -> f64 {
        self.bucket as f64 / 1e6
    }

    /// How many packets with something for a client came.
    pub fn packets(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// A client has read a quote of a symbol.
    pub fn age(&mut self, slow: bool, symbol: usize, age: u64, now: u64) {
        let (at, is_warm) = self.place(now);
        let group = self.group(slow);
        add_at(&mut group.over_time, at, age);
        if is_warm {
            group.all.add(age);
            if let Some(one) = group.by_symbol.get_mut(symbol) {
                one.add(age);
            }
        }
    }

    /// What a client shows of a symbol is so old.
    pub fn shown(&mut self, slow: bool, age: u64, now: u64) {
        let (at, is_warm) = self.place(now);
        let group = self.group(slow);
        add_at(&mut group.shown_over_time, at, age);
        if is_warm {
            group.shown.add(age);
        }
    }

    pub fn trade(&mut self, slow: bool, age: u64) {
        self.group(slow).trades.add(age);
    }

    fn place(&self, now: u64) -> (usize, bool) {
        let since = now.saturating_sub(self.begun);
        ((since / self.bucket) as usize, since >= self.warm)
    }

    pub fn report(&self) -> Value {
        let names = ["quote", "delta", "whole", "trade", "portfolio", "compressed"];
        let by_kind = |some: &[u64; 6]| {
            names
                .iter()
                .zip(some)
                .map(|(name, &count)| (name.to_string(), json!(count)))
                .collect::<serde_json::Map<_, _>>()
        };
        json!({
            "slow": self.slow.report(),
            "others": self.others.report(),
            "counts": by_kind(&self.counts),
            "bytes": by_kind(&self.bytes),
            "packets": self.packets(),
        })
    }
}

fn add_at(series: &mut Vec<Histogram>, at: usize, age: u64) {
    while series.len() <= at {
        series.push(Histogram::new());
    }
    series[at].add(age);
}
