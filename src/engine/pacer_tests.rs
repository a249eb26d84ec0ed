//! The pacer against machines of which the test knows the cost, in virtual time.

use super::*;

/// What a step costs on some machine, in milliseconds: rows, prompt tokens, position in the prompt.
type Cost = fn(f64, f64, f64) -> f64;

/// Machines of different kinds, by name.
const MACHINES: [(&str, Cost); 5] = [
    ("a processor: tokens cost what rows cost", |rows, tokens, _| 2.0 + rows + tokens),
    ("an accelerator: the step costs, tokens hardly", |rows, tokens, _| 12.0 + 0.01 * rows + 0.02 * tokens),
    ("attention grows with the context", |rows, tokens, at| {
        5.0 + 0.2 * rows + tokens * (0.1 + at / 10_000.0)
    }),
    ("any prompt token costs a second launch", |rows, tokens, _| {
        6.0 + 0.1 * rows + if tokens > 0.0 { 4.0 + 0.05 * tokens } else { 0.0 }
    }),
    ("tiny model", |rows, tokens, _| 0.3 + 0.05 * rows + 0.04 * tokens),
];

const PROMPT: usize = 8_000;
/// Most tokens of a step, prompt or not.
const MAX_BATCHED: usize = 512;

/// A machine with streams that run and now and then a prompt, and its clock.
struct Machine {
    cost: Cost,
    num_streams: usize,
    steps: u32,
}

impl Machine {
    /// Milliseconds of a step: up to a tenth more or less than planned, and in one step of two hundred a hiccup of
    /// ten times the cost.
    fn step(&mut self, num_prompt_tokens: usize, at: usize) -> f64 {
        self.steps += 1;
        let noise = 0.9 + 0.2 * f64::from(self.steps.wrapping_mul(2_654_435_761) >> 16) / 65_536.0;
        let hiccup = if self.steps % 200 == 199 { 10.0 } else { 1.0 };
        (self.cost)(self.num_streams as f64, num_prompt_tokens as f64, at as f64) * noise * hiccup
    }

    /// Steps without prompts; the time of each.
    fn idle(&mut self, pacer: &mut Pacer, num_steps: usize) -> Vec<f64> {
        (0..num_steps).map(|_| self.observed(pacer, 0, 0)).collect()
    }

    /// Reads a prompt while the streams run; the time of each step.
    fn read(&mut self, pacer: &mut Pacer, num_tokens: usize) -> Vec<f64> {
        let mut at = 0;
        let mut times = Vec::new();
        while at < num_tokens {
            let tokens = pacer.allowance().min(num_tokens - at).min(MAX_BATCHED - self.num_streams);
            times.push(self.observed(pacer, tokens, at));
            at += tokens;
        }
        times
    }

    fn observed(&mut self, pacer: &mut Pacer, num_prompt_tokens: usize, at: usize) -> f64 {
        let millis = self.step(num_prompt_tokens, at);
        let elapsed = Duration::from_secs_f64(millis / 1e3);
        pacer.observe(StepTime { num_rows: self.num_streams, num_prompt_tokens, elapsed });
        millis
    }
}

fn machine(cost: Cost, num_streams: usize) -> Machine {
    Machine { cost, num_streams, steps: 0 }
}

/// The time that 99 of 100 steps stay below. Every stream has a token in every step, so that this is the latency
/// between two tokens.
fn p99(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() * 99 / 100]
}

/// Latency while a long prompt is read, over that without, at the 99th percentile; and the share of the read's time
/// that went into the prompt.
fn slowdown(cost: Cost, num_streams: usize, pacer: &mut Pacer) -> (f64, f64) {
    let mut machine = machine(cost, num_streams);
    let idle = machine.idle(pacer, 1_000);
    let reading = machine.read(pacer, PROMPT);
    let share = 1.0 - reading.len() as f64 * median(&idle) / reading.iter().sum::<f64>();
    (p99(&reading) / p99(&idle), share)
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[test]
fn outputs_stay_fluent_on_every_machine_and_the_prompt_has_its_share_of_the_time() {
    for (name, cost) in MACHINES {
        for num_streams in [1, 7, 64] {
            let (ratio, share) = slowdown(cost, num_streams, &mut Pacer::new(3.0));
            println!("{name}, {num_streams} streams: {ratio:.2} times as slow, share {share:.2}");
            assert!(ratio <= 4.0, "{name}, {num_streams} streams: {ratio:.2} times as slow");
            // Two thirds, unless the step takes all the tokens that it may anyway.
            let takes_all = cost(num_streams as f64, MAX_BATCHED as f64, PROMPT as f64)
                < 3.0 * cost(num_streams as f64, 0.0, 0.0);
            assert!(takes_all || share > 0.5, "{name}, {num_streams} streams: a share of {share:.2}");
        }
    }
}

#[test]
fn without_a_pacer_outputs_would_stall() {
    let (ratio, _) = slowdown(MACHINES[0].1, 7, &mut Pacer::new(f64::INFINITY));
    assert!(ratio > 20.0, "only {ratio:.1} times as slow: the machines above show nothing");
}

#[test]
fn a_prompt_before_anything_is_known_is_read_in_small_pieces() {
    let mut pacer = Pacer::new(3.0);
    assert_eq!(pacer.allowance(), START_TOKENS);
    let mut machine = machine(MACHINES[0].1, 4);
    let times = machine.read(&mut pacer, 2_000);
    let without = (MACHINES[0].1)(4.0, 0.0, 0.0);
    let worst = times[..20].iter().copied().fold(0.0, f64::max);
    assert!(worst <= 5.0 * without, "{worst:.1} ms where a step without a prompt takes {without:.1} ms");
}

#[test]
fn more_streams_than_before_are_noticed_while_prompts_follow_without_a_gap() {
    let mut pacer = Pacer::new(3.0);
    let mut machine = machine(MACHINES[4].1, 1);
    machine.idle(&mut pacer, 100);
    machine.num_streams = 120;
    machine.read(&mut pacer, PROMPT);
    let times = machine.read(&mut pacer, PROMPT);
    let without = (MACHINES[4].1)(120.0, 0.0, 0.0);
    let usual = median(&times) / without;
    assert!((2.3..3.7).contains(&usual), "{usual:.2} times a step without a prompt, 3 are allowed");
}

#[test]
fn a_hiccup_changes_nothing() {
    let mut pacer = Pacer::new(3.0);
    let step = |num_prompt_tokens, millis| StepTime {
        num_rows: 4,
        num_prompt_tokens,
        elapsed: Duration::from_millis(millis),
    };
    for _ in 0..10 {
        pacer.observe(step(0, 10));
        pacer.observe(step(40, 30));
    }
    assert_eq!(pacer.allowance(), 40);
    pacer.observe(step(40, 9_000));
    pacer.observe(step(0, 9_000));
    assert_eq!(pacer.allowance(), 40);
}

#[test]
fn the_allowance_at_most_doubles_and_is_never_nothing() {
    let step = |num_rows, num_prompt_tokens, millis| StepTime {
        num_rows,
        num_prompt_tokens,
        elapsed: Duration::from_millis(millis),
    };
    let mut fast = Pacer::new(3.0);
    fast.observe(step(1, 0, 10));
    fast.observe(step(1, 20, 10));
    assert_eq!(fast.allowance(), 40, "tokens that cost nothing");
    let mut slow = Pacer::new(1.1);
    slow.observe(step(1, 0, 10));
    slow.observe(step(1, 2, 1_000));
    assert_eq!(slow.allowance(), 1);
}

#[test]
fn rows_never_seen_borrow_from_their_neighbours() {
    let mut pacer = Pacer::new(3.0);
    let step = |num_rows, millis| StepTime {
        num_rows,
        num_prompt_tokens: 0,
        elapsed: Duration::from_millis(millis),
    };
    pacer.observe(step(8, 16));
    assert_eq!(pacer.decode_s(100), Some(0.016));
    assert_eq!(pacer.decode_s(3), Some(0.004), "two powers of two below");
    pacer.observe(step(2, 10));
    assert_eq!(pacer.decode_s(7), Some(0.010));
}
