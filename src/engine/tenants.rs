//! How much of the engine each tenant has had.
//!
//! Every tenant that waits or runs has an account of tokens, after the virtual token counter of Sheng et al.,
//! "Fairness in Serving Large Language Models" (2024): a prompt token counts 1 when its sequence is admitted, a
//! generated one 2, and the tenant with the least goes next. Who was away begins where the least of those present stands, so that nobody saves
//! up; who left with more keeps it for a while, so that leaving pays off nothing either.

use std::collections::HashMap;

use super::TenantId;
use super::planted::{Bug, planted};

/// A generated token costs this many prompt tokens.
const OUTPUT_WEIGHT: u64 = 2;
/// Accounts of absent tenants that are kept at most.
const MAX_ABSENT: usize = 4096;

#[derive(Debug, Default, Clone, Copy)]
struct Account {
    service: u64,
    /// Sequences that wait or run.
    num_sequences: usize,
    /// Sequences that run.
    num_running: usize,
}

/// The accounts.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    accounts: HashMap<TenantId, Account>,
    num_present: usize,
}

impl Tenants {
    /// A tenant has one sequence more in the engine.
    pub(super) fn enter(&mut self, tenant: TenantId) {
        let is_present = self.accounts.get(&tenant).is_some_and(|account| account.num_sequences > 0);
        if !is_present {
            let present = self.accounts.values().filter(|account| account.num_sequences > 0);
            let least = present.map(|account| account.service).min().unwrap_or(0);
            let account = self.accounts.entry(tenant).or_default();
            account.service = account.service.max(least);
            self.num_present += 1;
        }
        self.account(tenant).num_sequences += 1;
    }

    /// A tenant has one sequence less in the engine.
    pub(super) fn leave(&mut self, tenant: TenantId) {
        let account = self.account(tenant);
        account.num_sequences -= 1;
        if account.num_sequences > 0 {
            return;
        }
        self.num_present -= 1;
        if self.num_present == 0 {
            self.accounts.clear();
        } else if self.accounts.len() - self.num_present > MAX_ABSENT {
            self.accounts.retain(|_, account| account.num_sequences > 0);
        }
    }

    /// One of a tenant's sequences began to run.
    pub(super) fn begin(&mut self, tenant: TenantId) {
        self.account(tenant).num_running += 1;
    }

    /// One of a tenant's sequences stopped running.
    pub(super) fn stop(&mut self, tenant: TenantId) {
        self.account(tenant).num_running -= 1;
    }

    /// Enters what a tenant gets.
    pub(super) fn charge(&mut self, tenant: TenantId, num_prompt_tokens: usize, num_output_tokens: usize) {
        if planted(Bug::NobodyIsCharged) {
            return;
        }
        self.account(tenant).service += num_prompt_tokens as u64 + OUTPUT_WEIGHT * num_output_tokens as u64;
    }

    /// What a tenant has had.
    pub(super) fn service(&self, tenant: TenantId) -> u64 {
        self.accounts.get(&tenant).map_or(0, |account| account.service)
    }

    /// How many of a tenant's sequences run.
    pub(super) fn num_running(&self, tenant: TenantId) -> usize {
        self.accounts.get(&tenant).map_or(0, |account| account.num_running)
    }

    fn account(&mut self, tenant: TenantId) -> &mut Account {
        self.accounts.get_mut(&tenant).expect("the tenant has entered")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);

    #[test]
    fn a_newcomer_begins_where_the_least_of_those_present_stands() {
        let mut tenants = Tenants::default();
        tenants.enter(A);
        tenants.charge(A, 100, 50);
        tenants.enter(B);
        assert_eq!((tenants.service(A), tenants.service(B)), (200, 200));
    }

    #[test]
    fn leaving_for_a_moment_neither_saves_nor_forgives() {
        let mut tenants = Tenants::default();
        tenants.enter(A);
        tenants.enter(B);
        tenants.charge(A, 70, 0);
        tenants.leave(A);
        tenants.enter(A);
        assert_eq!(tenants.service(A), 70, "what it had is remembered");
        tenants.leave(B);
        tenants.charge(A, 30, 0);
        tenants.enter(B);
        assert_eq!(tenants.service(B), 100, "what it did not use is not saved");
    }

    #[test]
    fn an_empty_engine_forgets() {
        let mut tenants = Tenants::default();
        tenants.enter(A);
        tenants.begin(A);
        tenants.charge(A, 5, 5);
        tenants.stop(A);
        tenants.leave(A);
        assert!(tenants.accounts.is_empty());
        assert_eq!((tenants.service(A), tenants.num_running(A)), (0, 0));
    }
}
