//! A look at the whole input before a model is loaded.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, bail};

use super::MAX_REQUESTS;
use super::item::{IdDigest, Item, shown};
use super::lines::Lines;
use super::results::Done;

/// Faults that are told one by one.
const MAX_TOLD: usize = 20;

/// Requests of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Requests {
    /// To be sent.
    pub(super) num_left: u64,
    /// Sent by an earlier run, without success.
    pub(super) num_failed: u64,
}

/// Counts the requests of a file.
///
/// # Errors
/// With the lines that are no requests or repeat the `custom_id` of another.
pub(super) fn count_requests(input: &Path, max_line_bytes: usize, done: &Done) -> anyhow::Result<Requests> {
    let name = || input.display().to_string();
    let file = File::open(input).with_context(name)?;
    let mut lines = Lines::new(BufReader::new(file), max_line_bytes);
    let mut first_lines: HashMap<IdDigest, u32> = HashMap::new();
    let (mut faults, mut num_faults, mut requests) = (Vec::new(), 0u64, Requests::default());
    while let Some(line) = lines.next().with_context(name)? {
        let fault = match Item::parse(line.text, max_line_bytes) {
            Err(fault) => Some(fault.message),
            Ok(item) => {
                let id = IdDigest::of(&item.custom_id);
                match done.was_answered(id) {
                    None => requests.num_left += 1,
                    Some(was_answered) => requests.num_failed += u64::from(!was_answered),
                }
                let number = u32::try_from(line.number).unwrap_or(u32::MAX);
                let earlier = first_lines.insert(id, number);
                earlier.map(|first| {
                    format!("the custom_id {:?} stands on line {first} already", shown(&item.custom_id))
                })
            }
        };
        if let Some(fault) = fault {
            num_faults += 1;
            if faults.len() < MAX_TOLD {
                faults.push(format!("line {}: {fault}", line.number));
            }
        }
        if first_lines.len() > MAX_REQUESTS {
            bail!("{}: has more than {MAX_REQUESTS} requests; split it", name());
        }
    }
    if num_faults > 0 {
        let more = num_faults - faults.len() as u64;
        if more > 0 {
            faults.push(format!("and {more} more"));
        }
        bail!("{}: nothing was sent, as some lines are no requests:\n  {}", name(), faults.join("\n  "));
    }
    Ok(requests)
}
