//! Where results go: one file for answers and one for failures, a line each, and what earlier runs have put there.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::item::IdDigest;
use super::lines::Lines;
use super::record::{Record, Written};
use super::{Existing, is_standard};

/// Longest line of results: the answer of a request, which may hold many choices and log probabilities.
pub(super) const MAX_RESULT_BYTES: usize = 256 << 20;
/// Room in it for what is not the answer itself.
const FRAME_BYTES: usize = 64 << 10;
/// Longest answer that is taken.
pub(super) const MAX_REPLY_BYTES: usize = MAX_RESULT_BYTES - FRAME_BYTES;

/// The requests that an earlier run has dealt with.
#[derive(Debug, Default)]
pub(super) struct Done {
    answered: HashSet<IdDigest>,
    failed: HashSet<IdDigest>,
}

/// The places for results.
#[derive(Debug)]
pub(super) struct Results {
    answers: Place,
    /// Nothing if both go to one place.
    failures: Option<Place>,
}

#[derive(Debug)]
enum Place {
    Stdout,
    File(ResultFile),
}

/// An open file, locked against a second run.
#[derive(Debug)]
struct ResultFile {
    path: PathBuf,
    file: File,
    /// Whether it is a file indeed, not a device or a pipe.
    is_plain: bool,
    /// How much of it stays.
    num_kept_bytes: u64,
    /// Whether the end of its last line has to be written.
    lacks_end: bool,
    /// Whether it is removed at the end if nothing stands in it.
    is_provisional: bool,
}

impl Done {
    /// Whether the request was answered (`true`) or has failed (`false`); nothing if it is to be sent.
    pub(super) fn was_answered(&self, id: IdDigest) -> Option<bool> {
        let answered = self.answered.contains(&id);
        (answered || self.failed.contains(&id)).then_some(answered)
    }
}

impl Results {
    /// Opens the places without changing what stands there, and reads it if it counts.
    ///
    /// # Errors
    /// If a file cannot be opened, is in use, or holds something although nothing was said about that.
    pub(super) fn open(output: &Path, errors: &Path, existing: Existing) -> anyhow::Result<(Self, Done)> {
        let mut done = Done::default();
        let mut open = |path: &Path| -> anyhow::Result<Place> {
            if is_standard(path) {
                return Ok(Place::Stdout);
            }
            let mut file = ResultFile::open(path, existing).with_context(|| path.display().to_string())?;
            if existing == Existing::Resume {
                file.read(&mut done).with_context(|| path.display().to_string())?;
            }
            Ok(Place::File(file))
        };
        let answers = open(output)?;
        let failures = if is_same(output, errors) { None } else { Some(open(errors)?) };
        Ok((Self { answers, failures }, done))
    }

    /// Makes the places ready for more: cuts off what does not stay.
    pub(super) fn begin(&mut self) -> anyhow::Result<()> {
        self.answers.begin(false)?;
        self.failures.as_mut().map_or(Ok(()), |place| place.begin(true))
    }

    /// Writes one line, whole.
    pub(super) fn write(&mut self, record: &Record) -> anyhow::Result<()> {
        let failures = self.failures.as_mut().filter(|_| !record.is_answer);
        failures.unwrap_or(&mut self.answers).write(&record.line)
    }
}

impl Place {
    fn begin(&mut self, is_provisional: bool) -> anyhow::Result<()> {
        let Self::File(file) = self else { return Ok(()) };
        file.begin(is_provisional).with_context(|| file.path.display().to_string())
    }

    fn write(&mut self, line: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(line).and_then(|()| stdout.flush()).context("standard output")
            }
            Self::File(file) => file.file.write_all(line).with_context(|| file.path.display().to_string()),
        }
    }
}

impl ResultFile {
    fn open(path: &Path, existing: Existing) -> anyhow::Result<Self> {
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let metadata = file.metadata()?;
        let is_plain = metadata.is_file();
        if is_plain && file.try_lock().is_err() {
            bail!("another run is writing to it");
        }
        if is_plain && metadata.len() > 0 && existing == Existing::Refuse {
            bail!("it exists: --resume goes on with it, --overwrite begins anew");
        }
        let path = path.to_owned();
        Ok(Self { path, file, is_plain, num_kept_bytes: 0, lacks_end: false, is_provisional: is_new })
    }

    /// Reads what stands in it. A last line that was cut short does not stay.
    fn read(&mut self, done: &mut Done) -> anyhow::Result<()> {
        if !self.is_plain {
            return Ok(());
        }
        let mut lines = Lines::new(BufReader::new(&self.file), MAX_RESULT_BYTES);
        let mut num_kept_bytes = self.file.metadata()?.len();
        let mut lacks_end = false;
        while let Some(line) = lines.next()? {
            let written = line.text.and_then(|text| serde_json::from_slice::<Written>(text).ok());
            let Some(written) = written else {
                if line.has_end {
                    bail!("line {} is not a result of a batch; --overwrite begins anew", line.number);
                }
                num_kept_bytes = line.start;
                break;
            };
            lacks_end = !line.has_end;
            if let Some(custom_id) = &written.custom_id {
                let ids = if written.is_answer() { &mut done.answered } else { &mut done.failed };
                ids.insert(IdDigest::of(custom_id));
            }
        }
        (self.num_kept_bytes, self.lacks_end) = (num_kept_bytes, lacks_end);
        Ok(())
    }

    fn begin(&mut self, is_provisional: bool) -> io::Result<()> {
        self.is_provisional = is_provisional;
        if !self.is_plain {
            return Ok(());
        }
        self.file.set_len(self.num_kept_bytes)?;
        self.file.seek(SeekFrom::End(0))?;
        if self.lacks_end {
            self.file.write_all(b"\n")?;
        }
        Ok(())
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        let is_empty = || self.file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if self.is_provisional && self.is_plain && is_empty() {
            // An empty file that stays does no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether two paths are one file.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let is_linked = || Some(one.canonicalize().ok()? == other.canonicalize().ok()?);
    one == other || is_linked().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"custom_id":"a","response":{"status_code":200,"body":{}},"error":null}"#;
    const FAILURE: &str = r#"{"custom_id":"b","response":{"status_code":400,"body":{}},"error":null}"#;

    /// What stands in the output after it was opened for more, and what was done of `a` and `b`.
    fn resume(text: &str) -> anyhow::Result<(String, [Option<bool>; 2])> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = folder.path().join("out.jsonl");
        std::fs::write(&output, text).expect("writable");
        let (mut results, done) = Results::open(&output, &output, Existing::Resume)?;
        results.begin()?;
        let text = std::fs::read_to_string(&output).expect("UTF-8");
        Ok((text, ["a", "b"].map(|id| done.was_answered(IdDigest::of(id)))))
    }

    #[test]
    fn a_line_that_was_cut_short_is_cut_off() {
        let whole = format!("{ANSWER}\n{FAILURE}\n");
        for cut in [1, 20, FAILURE.len()] {
            let text = &whole[..whole.len() - 1 - cut];
            let (kept, done) = resume(text).expect("results");
            assert_eq!((kept, done), (format!("{ANSWER}\n"), [Some(true), None]), "{text}");
        }
    }

    #[test]
    fn a_whole_line_without_its_end_stays() {
        let (kept, done) = resume(&format!("{ANSWER}\n{FAILURE}")).expect("results");
        assert_eq!((kept, done), (format!("{ANSWER}\n{FAILURE}\n"), [Some(true), Some(false)]));
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let error = format!("{:#}", resume(&format!("{ANSWER}\nhello\n")).expect_err("no results"));
        assert!(error.contains("line 2 is not a result"), "{error}");
    }

    #[test]
    fn two_runs_do_not_write_to_one_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (output, errors) = (folder.path().join("out"), folder.path().join("errors"));
        let (results, _) = Results::open(&output, &errors, Existing::Refuse).expect("new files");
        let error = Results::open(&output, &errors, Existing::Refuse).expect_err("in use");
        assert!(format!("{error:#}").contains("another run"), "{error:#}");
        drop(results);
        assert!(!output.exists() && !errors.exists(), "what is left empty is removed");
    }
}
