//! Times by size: percentiles of millions of them in little memory, to half a percent.

use serde_json::{json, Value};

const STEPS: f64 = 128.0;
const SIZE: usize = 32 * STEPS as usize;

#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u32>,
    total: u64,
    most: u64,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram { counts: Vec::new(), total: 0, most: 0 }
    }

    pub fn add(&mut self, micros: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; SIZE];
        }
        let index = ((micros.max(1) as f64).log2() * STEPS) as usize;
        self.counts[index.min(SIZE - 1)] += 1;
        self.total += 1;
        self.most = self.most.max(micros);
    }

    /// Nearest-rank percentile in milliseconds; 0 where there are none.
    pub fn percentile(&self, share: f64) -> f64 {
        let rank = ((share * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank {
                return ((index as f64 + 0.5) / STEPS).exp2() / 1000.0;
            }
        }
        0.0
    }

    /// Percentiles in milliseconds; `null` where there are none.
    pub fn report(&self) -> Value {
        if self.total == 0 {
            return Value::Null;
        }
        json!({
            "count": self.total,
            "p50": self.percentile(0.50),
            "p95": self.percentile(0.95),
            "p99": self.percentile(0.99),
            "max": self.most as f64 / 1000.0,
        })
    }
}
