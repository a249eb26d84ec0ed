//! What is found again, what is copied, and who waits for whose blocks.

use super::*;

#[test]
fn a_prompt_that_begins_alike_computes_only_the_rest() {
    let mut scheduler = caching(4, 64);
    add_sequence(&mut scheduler, 0, sequence(0, 8, 1));
    step(&mut scheduler, 7);
    add_sequence(&mut scheduler, 1, sequence(0, 11, 1));
    let (plan, outcome) = step(&mut scheduler, 7);
    assert_eq!((parts(&plan), admitted(&plan)), (vec![(1, 8, 3, 1)], vec![(1, 8)]));
    assert_eq!(outcome.num_prompt_tokens, 11, "found or computed, a prompt's tokens count once");
    assert_eq!(scheduler.kv().pool().num_used(), 0);
}

#[test]
fn the_same_prompt_again_computes_its_last_token_and_copies_the_block_before_it() {
    let mut scheduler = caching(4, 64);
    add_sequence(&mut scheduler, 0, sequence(0, 8, 1));
    step(&mut scheduler, 7);
    add_sequence(&mut scheduler, 1, sequence(0, 8, 1));
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!((parts(&plan), admitted(&plan)), (vec![(1, 7, 1, 1)], vec![(1, 7)]));
    assert_eq!(plan.block_copies, [BlockCopy { from: 1, to: 2 }]);
}

#[test]
fn a_prompt_that_leaves_another_inside_a_block_copies_what_they_share() {
    let mut scheduler = caching(4, 64);
    add_sequence(&mut scheduler, 0, sequence(0, 8, 1));
    step(&mut scheduler, 7);
    let prompt = [0, 1, 2, 3, 4, 5, 66, 67, 68];
    add_sequence(&mut scheduler, 1, NewSequence::greedy(prompt, 1));
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!((parts(&plan), plan.block_copies.len()), (vec![(1, 6, 3, 1)], 1));
}

#[test]
fn a_next_turn_finds_prompt_and_output_of_the_last() {
    let mut scheduler = caching(4, 64);
    add_sequence(&mut scheduler, 0, sequence(0, 6, 4));
    for _ in 0..4 {
        step(&mut scheduler, 7);
    }
    // The last of the output was not fed back: the first 9 tokens are there.
    let prompt = [0, 1, 2, 3, 4, 5, 7, 7, 7, 7, 50, 51];
    add_sequence(&mut scheduler, 1, NewSequence::greedy(prompt, 1));
    assert_eq!(admitted(&step(&mut scheduler, 7).0), [(1, 9)]);
}

#[test]
fn another_salt_finds_nothing() {
    let mut scheduler = caching(4, 64);
    add_sequence(&mut scheduler, 0, sequence(0, 8, 1));
    step(&mut scheduler, 7);
    add_sequence(&mut scheduler, 1, NewSequence { cache_salt: b"x"[..].into(), ..sequence(0, 8, 1) });
    assert_eq!(admitted(&step(&mut scheduler, 7).0), [(1, 0)]);
}

#[test]
fn of_equal_prompts_that_come_together_one_is_computed() {
    let mut scheduler = caching(4, 64);
    for id in 0..3 {
        add_sequence(&mut scheduler, id, sequence(0, 7, 3));
    }
    assert_eq!(step_parts(&mut scheduler), [(0, 0, 7, 1)]);
    assert_eq!(running(&scheduler), [0, 1, 2]);
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!(parts(&plan), [(0, 7, 1, 1), (1, 6, 1, 1), (2, 6, 1, 1)]);
    assert_eq!(admitted(&plan), [(1, 6), (2, 6)]);
    assert_eq!(num_used(&scheduler), 1 + 3, "the first block is shared, each has its own last");
}

#[test]
fn who_waits_for_a_neighbour_goes_on_alone_when_the_neighbour_leaves() {
    let mut scheduler = caching(4, 4);
    for id in 0..2 {
        add_sequence(&mut scheduler, id, sequence(0, 12, 3));
    }
    assert_eq!(step_parts(&mut scheduler), [(0, 0, 4, 0)]);
    assert_eq!(step_parts(&mut scheduler), [(0, 4, 4, 0)]);
    assert_eq!(scheduler.abort(SequenceId(0)), Some(Phase::Prefill));
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!((parts(&plan), admitted(&plan)), (vec![(1, 8, 4, 1)], vec![(1, 8)]));
}

#[test]
fn what_a_neighbour_is_computing_is_awaited_no_further_than_it_is_shared() {
    let mut scheduler = caching(4, 8);
    add_sequence(&mut scheduler, 0, sequence(0, 16, 3));
    add_sequence(&mut scheduler, 1, NewSequence::greedy([0, 1, 2, 3, 70, 71], 3));
    assert_eq!(step_parts(&mut scheduler), [(0, 0, 8, 0)]);
    let (plan, _) = step(&mut scheduler, 7);
    assert_eq!(parts(&plan), [(0, 8, 8, 1)], "the older comes first");
    assert_eq!(step_parts(&mut scheduler), [(0, 16, 1, 1), (1, 4, 2, 1)]);
}

#[test]
fn an_invalid_sequence_leaves_nothing_to_be_found() {
    let mut scheduler = caching(4, 64);
    add_sequence(&mut scheduler, 0, sequence(0, 8, 3));
    let plan = scheduler.schedule();
    scheduler.commit(&plan, vec![Err(SampleError::Invalid)]);
    assert_eq!(scheduler.kv().num_cached(), 0);
    add_sequence(&mut scheduler, 1, sequence(0, 8, 1));
    assert_eq!(admitted(&step(&mut scheduler, 7).0), [(1, 0)]);
}

#[test]
fn who_lost_its_blocks_finds_them_again_and_keeps_its_output() {
    let mut scheduler = caching(2, 64);
    add(&mut scheduler, 0, 15, 14);
    add(&mut scheduler, 1, 12, 4);
    let (_, outcome) = step(&mut scheduler, 7);
    assert_eq!(outcome.events.len(), 2);
    // 4 + 3 blocks; one is free, and both need one: at 16 and at 12.
    let (plan, _) = step(&mut scheduler, 8);
    assert_eq!((parts(&plan), preempted(&plan)), (vec![(0, 15, 1, 1), (1, 12, 1, 1)], vec![]));
    let (plan, _) = step(&mut scheduler, 9);
    assert_eq!((parts(&plan), preempted(&plan)), (vec![(0, 16, 1, 1)], vec![1]));
    assert_eq!((running(&scheduler), waiting(&scheduler)), (vec![0], vec![1]));
    let waits = scheduler.sequence(SequenceId(1)).expect("it waits");
    assert_eq!((waits.num_output(), waits.num_computed(), waits.blocks().num_held()), (2, 0, 0));
    scheduler.abort(SequenceId(0));
    let (plan, outcome) = step(&mut scheduler, 7);
    // Of its three full blocks and the one token more nothing was overwritten but the last block.
    assert_eq!((parts(&plan), admitted(&plan)), (vec![(1, 12, 2, 1)], vec![]));
    assert_eq!(outcome.events, [(SequenceId(1), token(7))]);
    assert_eq!(outcome.num_prompt_tokens, 0, "its prompt was counted before");
}
