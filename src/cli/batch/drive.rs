//! Sends the requests of the input, many at a time, and writes what comes of them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::item::{IdDigest, Item, ItemFault};
use super::lines::Lines;
use super::meter::{Meter, TICK};
use super::record::Record;
use super::results::{Done, MAX_REPLY_BYTES, Results};
use super::{BatchArgs, MAX_REQUESTS, is_standard};
use crate::app::{InProcess, Routes, Signals};

/// Lines that are read ahead; with a body each, so not many.
const NUM_READ_AHEAD: usize = 8;
/// Times that a request is sent which the server is too busy for.
const MAX_TRIES: usize = 100;
/// Wait before the next try where the server names none.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
const TOO_MANY_REQUESTS: u16 = 429;
const FIRST_SERVER_ERROR: u16 = 500;

/// How a batch went.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Requests that an earlier run has answered.
    pub(super) num_answered_before: u64,
    /// Requests that failed in an earlier run.
    pub(super) num_failed_before: u64,
    /// What went wrong first.
    pub(super) first_failure: Option<String>,
    /// The number of the signal that stopped it.
    pub(super) signal: Option<i32>,
    /// Whether a second signal cut off what ran.
    pub(super) is_cut: bool,
    /// Whether the input has been read to its end.
    is_complete: bool,
}

/// What the reader finds in the input.
#[derive(Debug)]
enum Found {
    Request {
        number: u64,
        item: Item,
    },
    Fault {
        number: u64,
        fault: ItemFault,
    },
    /// An earlier run has answered it, or seen it fail.
    Done {
        was_answered: bool,
    },
    Broken(std::io::Error),
}

/// What came of a request.
#[derive(Debug)]
enum Asked {
    Record(Record, u16),
    /// The batch was stopped while it waited for another try.
    Unanswered,
}

/// Sends everything that is not done.
pub(super) async fn drive(
    args: &BatchArgs,
    max_line_bytes: usize,
    done: Done,
    concurrency: usize,
    server: &InProcess,
    results: &mut Results,
    meter: &mut Meter,
) -> anyhow::Result<Course> {
    let mut signals = Signals::new().context("signals")?;
    meter.begin(concurrency);
    let mut found = read(args, max_line_bytes, done)?;
    let mut course = Course::default();
    let mut running = JoinSet::new();
    let (stop, stopped) = watch::channel(false);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut write = |record: &Record, meter: &mut Meter, course: &mut Course| -> anyhow::Result<()> {
        results.write(record)?;
        let count = if record.is_answer { &mut meter.num_answered } else { &mut meter.num_failed };
        *count += 1;
        if course.first_failure.is_none() {
            course.first_failure.clone_from(&record.reason);
        }
        Ok(())
    };
    while !running.is_empty() || !(course.is_complete || course.signal.is_some()) {
        let wants_more = !course.is_complete && course.signal.is_none() && running.len() < concurrency;
        tokio::select! {
            biased;
            number = signals.next() => {
                if course.signal.replace(number).is_some() {
                    // What runs is given up with the set.
                    course.is_cut = true;
                    return Ok(course);
                }
                meter.say("stopping: what runs may finish; another signal ends it now");
                stop.send_replace(true);
            }
            Some(asked) = running.join_next(), if !running.is_empty() => {
                match asked.context("a request")? {
                    Asked::Record(_, status) if status >= FIRST_SERVER_ERROR && server.has_failed() => {
                        bail!("the engine has died; what was answered is written, --resume goes on");
                    }
                    Asked::Record(record, _) => write(&record, meter, &mut course)?,
                    Asked::Unanswered => {}
                }
            }
            next = found.recv(), if wants_more => match next {
                None => course.is_complete = true,
                Some(Found::Request { number, item }) => {
                    running.spawn(ask(server.routes(), number, item, stopped.clone()));
                }
                Some(Found::Fault { number, fault }) => {
                    write(&Record::of_fault(number, &fault), meter, &mut course)?;
                }
                Some(Found::Done { was_answered: true }) => course.num_answered_before += 1,
                Some(Found::Done { was_answered: false }) => course.num_failed_before += 1,
                Some(Found::Broken(error)) => return Err(error).context(args.input.display().to_string()),
            },
            _ = ticks.tick() => {
                if server.has_failed() {
                    bail!("the engine has died; what was answered is written, --resume goes on");
                }
                meter.tick();
            }
        }
    }
    Ok(course)
}

/// Sends one request until the server takes it.
async fn ask(routes: Routes, number: u64, item: Item, mut stopped: watch::Receiver<bool>) -> Asked {
    let fault = |code, message| {
        let fault = ItemFault { custom_id: Some(item.custom_id.clone()), code, message };
        Asked::Record(Record::of_fault(number, &fault), 0)
    };
    if item.wants_stream {
        return fault(
            "stream_not_supported",
            "'stream' must not be true: a file holds whole answers".to_owned(),
        );
    }
    for tries_left in (0..MAX_TRIES).rev() {
        let reply = match routes.post(item.route, item.body.clone(), MAX_REPLY_BYTES).await {
            Ok(reply) => reply,
            Err(unread) => return fault("answer_too_long", unread.to_string()),
        };
        if reply.status != TOO_MANY_REQUESTS || tries_left == 0 {
            return Asked::Record(Record::of_reply(&item.custom_id, &reply), reply.status);
        }
        tokio::select! {
            // An error says that the batch is over.
            _ = stopped.wait_for(|stopped| *stopped) => return Asked::Unanswered,
            () = tokio::time::sleep(reply.retry_after.unwrap_or(RETRY_PAUSE)) => {}
        }
    }
    Asked::Unanswered
}

/// Reads the input on a thread of its own: standard input may keep it waiting.
fn read(args: &BatchArgs, max_line_bytes: usize, done: Done) -> anyhow::Result<mpsc::Receiver<Found>> {
    let reader = open(&args.input).with_context(|| args.input.display().to_string())?;
    let (sender, receiver) = mpsc::channel(NUM_READ_AHEAD);
    let body = move || {
        let mut lines = Lines::new(reader, max_line_bytes);
        let mut seen = HashSet::new();
        loop {
            let found = match lines.next() {
                Ok(None) => return,
                Ok(Some(line)) => {
                    let number = line.number;
                    let item = Item::parse(line.text, max_line_bytes);
                    let is_new = |item: &Item| seen.insert(IdDigest::of(&item.custom_id));
                    let found = find(number, item, &done, is_new);
                    if seen.len() > MAX_REQUESTS { Found::Broken(too_many_requests()) } else { found }
                }
                Err(error) => Found::Broken(error),
            };
            let is_last = matches!(found, Found::Broken(_));
            // Nobody receives once the batch is over.
            if sender.blocking_send(found).is_err() || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new().name("maru-input".to_owned()).spawn(body).context("a thread")?;
    Ok(receiver)
}

fn too_many_requests() -> std::io::Error {
    std::io::Error::other(format!("has more than {MAX_REQUESTS} requests; split it"))
}

fn find(
    number: u64,
    item: Result<Item, ItemFault>,
    done: &Done,
    mut is_new: impl FnMut(&Item) -> bool,
) -> Found {
    let item = match item {
        Ok(item) => item,
        Err(fault) => return Found::Fault { number, fault },
    };
    if !is_new(&item) {
        let message = "another line has this custom_id already".to_owned();
        let fault = ItemFault { custom_id: Some(item.custom_id), code: "duplicate_custom_id", message };
        return Found::Fault { number, fault };
    }
    match done.was_answered(IdDigest::of(&item.custom_id)) {
        Some(was_answered) => Found::Done { was_answered },
        None => Found::Request { number, item },
    }
}

fn open(input: &Path) -> std::io::Result<Box<dyn BufRead + Send>> {
    Ok(if is_standard(input) {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(input)?))
    })
}
