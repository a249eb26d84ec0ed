//! Makes a scenario that breaks a promise as small as it gets and still breaks one.

use super::scenario::{Fate, Scenario};

/// A step of making a scenario smaller; `None` if there is nothing to take away at `index`.
type Cut = fn(&Scenario, usize) -> Option<Scenario>;

/// From coarse to fine.
const CUTS: [Cut; 9] = [
    |scenario, index| changed(scenario, |s| remove_quarter(&mut s.arrivals, index)),
    |scenario, index| changed(scenario, |s| remove(&mut s.arrivals, index)),
    |scenario, index| changed(scenario, |s| remove(&mut s.failing_steps, index)),
    |scenario, index| changed(scenario, |s| remove(&mut s.nan_steps, index)),
    |scenario, index| changed(scenario, |s| remove(&mut s.prefill_limits, index)),
    |scenario, index| changed(scenario, |s| simplify_engine(s, index)),
    |scenario, index| changed(scenario, |s| simplify_arrival(s, index / 12, index % 12)),
    |scenario, index| changed(scenario, |s| shorten(s, index, 2)),
    |scenario, index| changed(scenario, |s| shorten(s, index, 1)),
];

/// Shrinks a scenario of which `breaks` says what it breaks, `why` at first.
pub(super) fn shrink(
    mut smallest: Scenario,
    mut why: String,
    breaks: impl Fn(&Scenario) -> Option<String>,
) -> (Scenario, String) {
    loop {
        let before = smallest.size();
        for cut in CUTS {
            let mut index = 0;
            while let Some(smaller) = cut(&smallest, index) {
                match breaks(&smaller) {
                    Some(error) if smaller.size() < smallest.size() => (smallest, why) = (smaller, error),
                    _ => index += 1,
                }
            }
        }
        if smallest.size() == before {
            return (smallest, why);
        }
    }
}

impl Scenario {
    /// How much there is to read.
    fn size(&self) -> usize {
        let arrivals = self.arrivals.iter().map(|arrival| {
            let new = &arrival.sequence;
            let simple = [
                arrival.fate == Fate::Stays,
                new.tenant.0 <= 1,
                new.priority.0 == 0,
                new.cache_salt.is_empty(),
                new.stop_token_ids.is_empty(),
                new.sampling == crate::sampling::SamplingParams::greedy(),
                arrival.rule.is_none(),
                new.prediction.is_empty(),
                new.prompt_scores.is_none(),
                new.pooling.is_none(),
            ];
            let num_odd = simple.iter().filter(|is_simple| !**is_simple).count();
            100 + 3 * num_odd + 4 * new.prompt.len() + new.max_new_tokens as usize + arrival.step
        });
        let faults = self.failing_steps.len() + self.nan_steps.len() + self.prefill_limits.len();
        let engine = &self.engine;
        let switches = usize::from(engine.prefix_cache.is_some())
            + usize::from(engine.speculation.max_draft_tokens > 0)
            + usize::from(self.drains_at.is_some());
        let limits = engine.limits.max_num_seqs + engine.limits.max_num_batched_tokens;
        let pool = engine.capacity.num_tokens() as usize;
        arrivals.sum::<usize>() + 50 * (faults + switches + engine.groups.len()) + limits + pool
    }
}

fn changed(scenario: &Scenario, change: impl FnOnce(&mut Scenario) -> Option<()>) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    change(&mut smaller)?;
    Some(smaller)
}

fn remove<T>(list: &mut Vec<T>, index: usize) -> Option<()> {
    (index < list.len()).then(|| drop(list.remove(index)))
}

fn remove_quarter<T>(list: &mut Vec<T>, index: usize) -> Option<()> {
    let size = list.len() / 4;
    (size > 0 && index < 4).then(|| drop(list.drain(index * size..(index + 1) * size)))
}

fn simplify_engine(scenario: &mut Scenario, index: usize) -> Option<()> {
    let engine = &mut scenario.engine;
    match index {
        0 => engine.prefix_cache = None,
        1 => engine.speculation.max_draft_tokens = 0,
        2 => scenario.drains_at = None,
        3 => engine.capacity.num_blocks = (engine.capacity.num_blocks / 2).max(1),
        4 => engine.capacity.num_blocks = (engine.capacity.num_blocks - 1).max(1),
        5 => engine.capacity.block_size = (engine.capacity.block_size / 2).max(1),
        6 => engine.limits.max_num_batched_tokens = engine.limits.max_num_seqs,
        7 if engine.limits.max_num_seqs > 1 => {
            engine.limits.max_num_seqs -= 1;
            engine.limits.max_num_batched_tokens -= 1;
        }
        7 => {}
        _ if index - 8 < engine.groups.len() && engine.groups.len() > 1 => {
            engine.groups.remove(index - 8);
        }
        _ => return None,
    }
    Some(())
}

fn simplify_arrival(scenario: &mut Scenario, index: usize, what: usize) -> Option<()> {
    let arrival = scenario.arrivals.get_mut(index)?;
    let new = &mut arrival.sequence;
    match what {
        0 => arrival.fate = Fate::Stays,
        1 => new.tenant.0 = 1,
        2 => new.priority.0 = 0,
        3 => new.cache_salt = [].into(),
        4 => new.stop_token_ids = [].into(),
        5 => new.sampling = crate::sampling::SamplingParams::greedy(),
        6 => new.max_new_tokens = (new.max_new_tokens / 2).max(1),
        7 => new.max_new_tokens = new.max_new_tokens.saturating_sub(1).max(1),
        8 => {
            (new.prompt_scores, new.pooling) = (None, None);
            new.max_new_tokens = new.max_new_tokens.max(1);
        }
        9 => arrival.rule = None,
        10 => new.prediction = [].into(),
        _ => arrival.step /= 2,
    }
    Some(())
}

/// Takes a half (`part` 2) or the last token (1) off a prompt.
fn shorten(scenario: &mut Scenario, index: usize, part: usize) -> Option<()> {
    let new = &mut scenario.arrivals.get_mut(index)?.sequence;
    let num_kept = if part == 2 { new.prompt.len() / 2 } else { new.prompt.len() - 1 };
    new.prompt = new.prompt[..num_kept.max(1)].into();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::planted::{Bug, plant};
    use crate::engine::simulation::seeds::verdict;

    #[test]
    fn a_broken_scenario_shrinks_to_a_few_sequences() {
        let breaks = |s: &Scenario| plant(Some(Bug::PartIsShared), || verdict(s, None)).err();
        let scenario = (0..).map(Scenario::from_seed).find(|s| s.arrivals.len() > 5 && breaks(s).is_some());
        let scenario = scenario.expect("there are enough seeds");
        let why = breaks(&scenario).expect("it was just seen");
        let (smallest, why) = shrink(scenario, why, breaks);
        assert!(breaks(&smallest) == Some(why), "it is still broken");
        assert!(smallest.arrivals.len() <= 2, "{smallest:#?}");
        let num_tokens: usize = smallest.arrivals.iter().map(|arrival| arrival.sequence.prompt.len()).sum();
        assert!(num_tokens <= 8, "{smallest:#?}");
    }
}
