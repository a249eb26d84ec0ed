//! What the queue owes to those who wait: a second set of accounts, kept from what was submitted and what came out.

use std::collections::BTreeMap;

use super::Checked;
use crate::engine::{Priority, SequenceId, TenantId};

/// The oldest who waits is passed over this often at most.
const MAX_PASSED: usize = 8;
/// A generated token counts as much as so many of a prompt.
const OUTPUT_WEIGHT: u64 = 2;

/// One who waits, as far as the queue is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: SequenceId,
    pub(super) tenant: TenantId,
    pub(super) priority: Priority,
}

/// What each tenant has had, and how often the oldest was passed over.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Service in tokens, and sequences present.
    accounts: BTreeMap<TenantId, (u64, usize)>,
    oldest: Option<SequenceId>,
    num_passed: usize,
}

impl Ledger {
    pub(super) fn enter(&mut self, tenant: TenantId) {
        let is_present = self.accounts.get(&tenant).is_some_and(|&(_, present)| present > 0);
        let present = self.accounts.values().filter(|(_, present)| *present > 0);
        let least = present.map(|&(service, _)| service).min().unwrap_or(0);
        let (service, num_present) = self.accounts.entry(tenant).or_default();
        if !is_present {
            *service = least.max(*service);
        }
        *num_present += 1;
    }

    pub(super) fn leave(&mut self, tenant: TenantId) {
        self.accounts.get_mut(&tenant).expect("it entered").1 -= 1;
        if self.accounts.values().all(|&(_, present)| present == 0) {
            self.accounts.clear();
        }
    }

    pub(super) fn charge_prompt(&mut self, tenant: TenantId, num_tokens: usize) {
        self.accounts.get_mut(&tenant).expect("it entered").0 += num_tokens as u64;
    }

    pub(super) fn charge_output(&mut self, tenant: TenantId, num_tokens: usize) {
        self.accounts.get_mut(&tenant).expect("it entered").0 += OUTPUT_WEIGHT * num_tokens as u64;
    }

    /// Checks who was taken from the queue in a step: `before` and `after` wait before and after it, `preempted` were
    /// put back in between.
    pub(super) fn check_turns(
        &mut self,
        before: &[Waiting],
        after: &[Waiting],
        admitted: &[Waiting],
        preempted: &[SequenceId],
    ) -> Checked {
        let waited = |waiting: &&Waiting| !preempted.contains(&waiting.id);
        for taken in admitted {
            let equal = |w: &Waiting| (w.tenant, w.priority) == (taken.tenant, taken.priority);
            let older = after.iter().filter(waited).find(|w| equal(w) && w.id < taken.id);
            ensure!(older.is_none(), "{:?} overtook {older:?} of its own class", taken.id);
        }
        if let ([taken], []) = (admitted, preempted)
            && before.first() != Some(taken)
        {
            let turn = |w: &Waiting| (w.priority, self.accounts.get(&w.tenant).map_or(0, |a| a.0), w.id);
            let due = before.iter().copied().min_by_key(turn);
            ensure!(due == Some(*taken), "{:?} was taken, {due:?} was due: {:?}", taken.id, self.accounts);
        }
        self.check_the_oldest(before, after, admitted, preempted)
    }

    fn check_the_oldest(
        &mut self,
        before: &[Waiting],
        after: &[Waiting],
        admitted: &[Waiting],
        preempted: &[SequenceId],
    ) -> Checked {
        let Some(oldest) = before.first().map(|waiting| waiting.id) else { return Ok(()) };
        // One still older that lost its blocks and has them back was the oldest for a moment.
        let was_oldest = admitted.iter().all(|taken| taken.id > oldest);
        let still_waits = after.first().is_some_and(|w| w.id == oldest) && !preempted.contains(&oldest);
        if self.oldest != Some(oldest) || !was_oldest || !still_waits {
            (self.oldest, self.num_passed) = (Some(oldest), 0);
        } else {
            self.num_passed += admitted.len();
            ensure!(self.num_passed <= MAX_PASSED, "{oldest:?} was passed over {} times", self.num_passed);
        }
        Ok(())
    }
}
