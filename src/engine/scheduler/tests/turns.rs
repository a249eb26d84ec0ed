//! Who goes first, who gives way, and who has waited for long enough.

use super::*;

const URGENT: Priority = Priority(-1);

fn of(tenant: u64, new: NewSequence) -> NewSequence {
    NewSequence { tenant: TenantId(tenant), ..new }
}

#[test]
fn tenants_take_turns_in_the_queue() {
    let mut scheduler = scheduler(1, 64);
    for id in 0..4 {
        add_sequence(&mut scheduler, id, of(1, sequence(0, 4, 1)));
    }
    for id in 4..6 {
        add_sequence(&mut scheduler, id, of(2, sequence(0, 4, 1)));
    }
    let order: Vec<u64> = (0..6).map(|_| step(&mut scheduler, 7).0.scheduled[0].id.0).collect();
    assert_eq!(order, [0, 4, 1, 5, 2, 3]);
}

#[test]
fn the_prompt_of_the_tenant_that_has_had_least_is_read_first() {
    let mut scheduler = scheduler(2, 4);
    add_sequence(&mut scheduler, 0, of(1, sequence(0, 16, 2)));
    assert_eq!(step_parts(&mut scheduler), [(0, 0, 4, 0)]);
    add_sequence(&mut scheduler, 1, of(2, sequence(0, 4, 2)));
    // Tenant 2 begins where tenant 1 stands; of equals the older goes first, but who is much shorter may pass.
    assert_eq!(step_parts(&mut scheduler), [(0, 4, 2, 0), (1, 0, 2, 0)]);
    assert_eq!(step_parts(&mut scheduler), [(0, 6, 2, 0), (1, 2, 2, 1)]);
}

#[test]
fn short_prompts_pass_a_long_one_on_half_of_the_budget() {
    let mut scheduler = scheduler(4, 8);
    add(&mut scheduler, 0, 20, 1);
    add(&mut scheduler, 1, 3, 1);
    add(&mut scheduler, 2, 2, 1);
    assert_eq!(step_parts(&mut scheduler), [(0, 0, 4, 0), (2, 0, 2, 1), (1, 0, 2, 0)]);
    assert_eq!(
        step_parts(&mut scheduler),
        [(1, 2, 1, 1), (0, 4, 7, 0)],
        "what the short ones leave is the long one's"
    );
}

#[test]
fn a_prompt_that_is_not_much_shorter_does_not_pass() {
    let mut scheduler = scheduler(4, 8);
    add(&mut scheduler, 0, 12, 1);
    add(&mut scheduler, 1, 6, 1);
    assert_eq!(step_parts(&mut scheduler), [(0, 0, 8, 0)]);
    assert_eq!(step_parts(&mut scheduler), [(0, 8, 4, 1), (1, 0, 4, 0)]);
}

#[test]
fn the_urgent_go_first_and_take_the_place_of_the_less_urgent() {
    let mut scheduler = scheduler(2, 64);
    for id in 0..2 {
        add(&mut scheduler, id, 4, 9);
    }
    step(&mut scheduler, 7);
    add(&mut scheduler, 2, 4, 9);
    add_sequence(&mut scheduler, 3, NewSequence { priority: URGENT, ..sequence(300, 4, 9) });
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!((preempted(&plan), admitted(&plan)), (vec![1], vec![(3, 0)]));
    assert_eq!((running(&scheduler), waiting(&scheduler)), (vec![3, 0], vec![1, 2]));
}

#[test]
fn a_tenant_that_has_nothing_takes_the_place_of_the_last_of_one_that_has_several() {
    let mut scheduler = scheduler(3, 64);
    for id in 0..3 {
        add_sequence(&mut scheduler, id, of(1, sequence(100 * id as u32, 4, 9)));
    }
    step(&mut scheduler, 7);
    for id in 3..5 {
        add_sequence(&mut scheduler, id, of(2, sequence(100 * id as u32, 4, 9)));
    }
    // The newcomer begins where the other stands, and of equals the older goes first: nothing would be won.
    assert!(preempted(&step(&mut scheduler, 7).0).is_empty());
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!((preempted(&plan), admitted(&plan)), (vec![2], vec![(3, 0)]));
    let (plan, _) = step(&mut scheduler, 7);
    assert!(preempted(&plan).is_empty(), "one place each is owed, not more");
    assert_eq!(running(&scheduler), [0, 1, 3]);
}

#[test]
fn nobody_gives_way_to_one_for_whom_it_would_not_be_enough() {
    let mut scheduler = scheduler(3, 64);
    add_sequence(&mut scheduler, 0, NewSequence { priority: URGENT, ..sequence(0, 16, 9) });
    add(&mut scheduler, 1, 4, 9);
    step(&mut scheduler, 7);
    add_sequence(&mut scheduler, 2, NewSequence { priority: URGENT, ..sequence(200, 24, 2) });
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!((preempted(&plan), running(&scheduler)), (vec![], vec![0, 1]));
}

#[test]
fn who_was_passed_over_often_enough_runs_and_keeps_its_place() {
    let mut scheduler = scheduler(1, 64);
    add(&mut scheduler, 0, 4, 1);
    step(&mut scheduler, 7);
    add(&mut scheduler, 1, 4, 3);
    for id in 2..20 {
        add_sequence(&mut scheduler, id, NewSequence { priority: URGENT, ..sequence(100 * id as u32, 4, 1) });
    }
    let order: Vec<u64> = (0..12).map(|_| step(&mut scheduler, 7).0.scheduled[0].id.0).collect();
    assert_eq!(order, [2, 3, 4, 5, 6, 7, 8, 9, 1, 1, 1, 10]);
}

#[test]
fn the_last_in_rank_gives_way_when_blocks_run_short_and_waits_in_its_old_place() {
    let mut scheduler = scheduler(4, 64);
    add(&mut scheduler, 0, 8, 16);
    add(&mut scheduler, 1, 8, 16);
    add(&mut scheduler, 2, 8, 16);
    step(&mut scheduler, 7);
    // 6 blocks of 8; the next token of each takes another.
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!((preempted(&plan), running(&scheduler)), (vec![2], vec![0, 1]));
    add(&mut scheduler, 3, 1, 1);
    step(&mut scheduler, 7);
    assert_eq!(waiting(&scheduler), [2, 3]);
    while scheduler.has_work() {
        let (plan, outcome) = step(&mut scheduler, 7);
        assert!(!plan.scheduled.is_empty() && !outcome.events.is_empty());
    }
    assert_eq!(num_used(&scheduler), 0);
}
