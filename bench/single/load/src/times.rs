//! Times as they are reported: percentiles in milliseconds.

use serde_json::{json, Value};

/// Microseconds, in the order in which they came.
pub type Times = Vec<u32>;

/// Nearest-rank percentiles of `times`, in milliseconds; `null` where there are none.
pub fn percentiles(mut times: Times) -> Value {
    if times.is_empty() {
        return Value::Null;
    }
    times.sort_unstable();
    let at = |share: f64| {
        let rank = (share * times.len() as f64).ceil() as usize;
        f64::from(times[rank.clamp(1, times.len()) - 1]) / 1000.0
    };
    json!({"p50": at(0.50), "p95": at(0.95), "p99": at(0.99), "max": at(1.0)})
}
