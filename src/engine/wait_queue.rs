//! Who waits, and who is next: the more urgent first, then the tenant that has had least, then who came first.

use std::collections::{BTreeMap, BTreeSet};

use super::planted::{Bug, planted};
use super::tenants::Tenants;
use super::{Priority, SequenceId, TenantId};

/// After so many admissions in a row that passed over the oldest sequence, it is its turn whatever its class. So
/// nobody starves: who waits as the n-th oldest is admitted after at most `n * MAX_PASSED` others.
const MAX_PASSED: usize = 8;

/// Sequences that go strictly one after another.
type Class = (Priority, TenantId);

/// The waiting sequences, by number only.
#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    /// Where each sequence's class is: in order of arrival.
    arrivals: BTreeMap<SequenceId, Class>,
    /// In order of arrival each.
    classes: BTreeMap<Class, BTreeSet<SequenceId>>,
    /// Admissions since the oldest sequence was passed over for the first time.
    num_passed: usize,
}

/// The choice of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    /// Who is next.
    pub(super) id: SequenceId,
    /// Whether because it had waited for long enough.
    pub(super) is_overdue: bool,
}

impl WaitQueue {
    pub(super) fn insert(&mut self, id: SequenceId, priority: Priority, tenant: TenantId) {
        self.arrivals.insert(id, (priority, tenant));
        self.classes.entry((priority, tenant)).or_default().insert(id);
    }

    /// Forgets a sequence that left without having been admitted.
    pub(super) fn remove(&mut self, id: SequenceId) {
        if self.oldest() == Some(id) {
            self.num_passed = 0;
        }
        let Some(class) = self.arrivals.remove(&id) else { return };
        if let Some(members) = self.classes.get_mut(&class) {
            members.remove(&id);
            if members.is_empty() {
                self.classes.remove(&class);
            }
        }
    }

    /// Takes out the sequence that [`Self::next`] named.
    pub(super) fn admit(&mut self, next: Next) {
        if self.oldest() != Some(next.id) {
            self.num_passed += 1;
        }
        self.remove(next.id);
    }

    /// Who is next.
    pub(super) fn next(&self, tenants: &Tenants) -> Option<Next> {
        let oldest = self.oldest()?;
        if self.num_passed >= MAX_PASSED && !planted(Bug::NobodyIsOverdue) {
            return Some(Next { id: oldest, is_overdue: true });
        }
        let (&(most_urgent, _), _) = match planted(Bug::LeastUrgentFirst) {
            true => self.classes.last_key_value()?,
            false => self.classes.first_key_value()?,
        };
        let urgent = self.classes.range((most_urgent, TenantId(0))..=(most_urgent, TenantId(u64::MAX)));
        let head = |members: &BTreeSet<SequenceId>| match planted(Bug::LastComesFirst) {
            true => members.last().copied(),
            false => members.first().copied(),
        };
        let heads =
            urgent.filter_map(|(&(_, tenant), members)| Some((tenants.service(tenant), head(members)?)));
        heads.min().map(|(_, id)| Next { id, is_overdue: false })
    }

    fn oldest(&self) -> Option<SequenceId> {
        self.arrivals.first_key_value().map(|(&id, _)| id)
    }

    /// Who waits, in order of arrival.
    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = SequenceId> {
        self.arrivals.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.arrivals.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Priority = Priority(0);
    const URGENT: Priority = Priority(-1);
    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);

    fn admit_all(
        queue: &mut WaitQueue,
        tenants: &mut Tenants,
        cost: usize,
        tenant_of: fn(u64) -> TenantId,
    ) -> Vec<u64> {
        let mut order = Vec::new();
        while let Some(next) = queue.next(tenants) {
            queue.admit(next);
            tenants.charge(tenant_of(next.id.0), cost, 0);
            order.push(next.id.0);
        }
        order
    }

    #[test]
    fn tenants_take_turns_and_within_one_the_first_to_come_goes_first() {
        let (mut queue, mut tenants) = (WaitQueue::default(), Tenants::default());
        let tenant_of = |id| if id < 4 { A } else { B };
        for id in 0..6 {
            tenants.enter(tenant_of(id));
            queue.insert(SequenceId(id), USUAL, tenant_of(id));
        }
        assert_eq!(admit_all(&mut queue, &mut tenants, 10, tenant_of), [0, 4, 1, 5, 2, 3]);
        assert!(queue.arrivals.is_empty() && queue.classes.is_empty());
    }

    #[test]
    fn the_urgent_go_first_but_the_oldest_is_passed_over_only_so_often() {
        let (mut queue, mut tenants) = (WaitQueue::default(), Tenants::default());
        tenants.enter(A);
        queue.insert(SequenceId(0), USUAL, A);
        for id in 1..=20 {
            queue.insert(SequenceId(id), URGENT, A);
        }
        let order = admit_all(&mut queue, &mut tenants, 1, |_| A);
        assert_eq!(order[..MAX_PASSED], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(order[MAX_PASSED], 0);
        assert_eq!(order.len(), 21);
    }

    #[test]
    fn one_who_comes_back_has_its_old_place() {
        let (mut queue, mut tenants) = (WaitQueue::default(), Tenants::default());
        tenants.enter(A);
        for id in [3, 1, 2] {
            queue.insert(SequenceId(id), USUAL, A);
        }
        queue.remove(SequenceId(2));
        assert_eq!(admit_all(&mut queue, &mut tenants, 1, |_| A), [1, 3]);
    }
}
