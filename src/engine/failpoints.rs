//! Planned faults, for tests of what the process does about real ones. Not part of release builds.
//!
//! `MARU_FAILPOINTS` holds any of these, separated by commas. `@N` names the pass at which it happens, counted from 1;
//! without it, it happens at every one.
//!
//! | fault | what it does |
//! |---|---|
//! | `forward=error@N` | forward pass N fails |
//! | `forward=panic@N` | forward pass N panics |
//! | `forward=slow:MS@N` | forward pass N takes MS milliseconds longer |
//! | `logits=nan@N` | one row of pass N holds a NaN; here only passes that sample several rows count |
//! | `logits=inf@N` | the same with positive infinity |
//! | `logits=masked@N` | the same with no finite logit at all |

use std::thread;
use std::time::Duration;

use crate::model::{ForwardBatch, ForwardOutput, KvCapacity, KvGroup, Logits, ModelError, Runner};

/// Faults to come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failpoints(Vec<Failpoint>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failpoint {
    fault: Fault,
    /// `None` for every pass.
    pass: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Error,
    Panic,
    Slow(Duration),
    Nan,
    Infinity,
    Masked,
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "forward=error" => Self::Error,
            "forward=panic" => Self::Panic,
            "logits=nan" => Self::Nan,
            "logits=inf" => Self::Infinity,
            "logits=masked" => Self::Masked,
            _ => Self::Slow(Duration::from_millis(text.strip_prefix("forward=slow:")?.parse().ok()?)),
        })
    }
}

impl Failpoints {
    /// Reads a list of faults.
    ///
    /// # Errors
    /// The entry that is none, in words.
    pub fn parse(list: &str) -> Result<Self, String> {
        let read = |entry: &str| {
            let (fault, pass) = entry.split_once('@').map_or((entry, None), |(fault, n)| (fault, Some(n)));
            let pass = pass.map(str::parse).transpose().ok()?;
            Some(Failpoint { fault: Fault::parse(fault)?, pass })
        };
        let entries = list.split(',').map(str::trim);
        entries
            .map(|entry| read(entry).ok_or(format!("{entry:?} is no planned fault")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The runner with these faults.
    pub(super) fn plant(&self, runner: Box<dyn Runner>) -> Box<dyn Runner> {
        if self.0.is_empty() {
            return runner;
        }
        Box::new(FailingRunner { inner: runner, failpoints: self.clone(), num_passes: 0, num_shared: 0 })
    }

    fn at(&self, pass: u64) -> impl Iterator<Item = Fault> {
        let is_due = move |failpoint: &&Failpoint| failpoint.pass.is_none_or(|planned| planned == pass);
        self.0.iter().filter(is_due).map(|failpoint| failpoint.fault)
    }
}

/// A runner to which the planned faults happen.
struct FailingRunner {
    inner: Box<dyn Runner>,
    failpoints: Failpoints,
    num_passes: u64,
    /// Passes that sampled several rows.
    num_shared: u64,
}

impl Runner for FailingRunner {
    fn forward(&mut self, batch: &ForwardBatch) -> Result<ForwardOutput, ModelError> {
        self.num_passes += 1;
        for fault in self.failpoints.at(self.num_passes) {
            match fault {
                Fault::Error => {
                    return Err(ModelError::Backend { op: "failpoint", reason: "planned error".to_owned() });
                }
                Fault::Panic => panic!("planned panic"),
                Fault::Slow(time) => thread::sleep(time),
                Fault::Nan | Fault::Infinity | Fault::Masked => {}
            }
        }
        let ForwardOutput { logits, hidden } = self.inner.forward(batch)?;
        if logits.num_rows() < 2 {
            return Ok(ForwardOutput { logits, hidden });
        }
        self.num_shared += 1;
        let logits = self.failpoints.at(self.num_shared).fold(logits, spoil);
        Ok(ForwardOutput { logits, hidden })
    }

    fn kv_capacity(&self) -> KvCapacity {
        self.inner.kv_capacity()
    }

    fn kv_groups(&self) -> Vec<KvGroup> {
        self.inner.kv_groups()
    }
}

/// Spoils the first row, if the fault is one of a row.
fn spoil(logits: Logits, fault: Fault) -> Logits {
    let value = match fault {
        Fault::Nan => f32::NAN,
        Fault::Infinity => f32::INFINITY,
        Fault::Masked => f32::NEG_INFINITY,
        Fault::Error | Fault::Panic | Fault::Slow(_) => return logits,
    };
    let vocab_size = logits.vocab_size();
    let mut data: Vec<f32> = (0..logits.num_rows()).flat_map(|row| logits.row(row)).copied().collect();
    let spoilt = if fault == Fault::Masked { 0..vocab_size } else { vocab_size / 2..vocab_size / 2 + 1 };
    data[spoilt].fill(value);
    Logits::new(data, vocab_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_faults_is_read_and_what_is_none_is_named() {
        let failpoints =
            Failpoints::parse("forward=panic@5, forward=slow:20,logits=nan@2").expect("all known");
        let slow = Fault::Slow(Duration::from_millis(20));
        assert_eq!(failpoints.at(1).collect::<Vec<_>>(), [slow]);
        assert_eq!(failpoints.at(2).collect::<Vec<_>>(), [slow, Fault::Nan]);
        assert_eq!(failpoints.at(5).collect::<Vec<_>>(), [Fault::Panic, slow]);
        for wrong in ["", "forward", "forward=panic@", "forward=slow:@3", "forward=nap", "logits=nan@-1"] {
            assert!(Failpoints::parse(wrong).is_err_and(|reason| reason.contains(wrong)), "{wrong}");
        }
    }

    #[test]
    fn a_spoilt_row_leaves_the_others_alone() {
        let logits = Logits::new(vec![1.0; 12], 4);
        for (fault, bad) in [(Fault::Nan, 1), (Fault::Infinity, 1), (Fault::Masked, 4)] {
            let spoilt = spoil(logits.clone(), fault);
            assert_eq!(spoilt.row(0).iter().filter(|logit| !logit.is_finite()).count(), bad, "{fault:?}");
            assert_eq!((spoilt.row(1), spoilt.row(2)), (logits.row(1), logits.row(2)));
        }
    }
}
