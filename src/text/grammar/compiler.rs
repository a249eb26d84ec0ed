//! From a [`GrammarSpec`] to a grammar that can be started: bounds, checks, compilation, cache.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::thread;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::InferenceCapabilities;
use llguidance::{ParserFactory, TokenParser};
use serde_json::json;

use super::cache::GrammarCache;
use super::language::LanguageTable;
use super::state::GrammarState;
use super::{GrammarError, Language, LanguageLock, lark, schema, vocabulary};
use crate::sampling::{Constraint, GrammarSpec, TokenSet};
use crate::text::Tokenizer;

/// Most bytes of a grammar: of the schema written as JSON, of the regular expression, of all choices, of the Lark text.
pub const MAX_GRAMMAR_BYTES: usize = 128 << 10;

/// Most bytes of a regular expression, alone or as a `pattern`.
pub(super) const MAX_REGEX_BYTES: usize = 4 << 10;

/// Most strings to choose from.
const MAX_CHOICES: usize = 4096;

/// Stack of the thread that compiles: schemas nest up to a bound, and each level takes a few KiB.
const COMPILER_STACK_BYTES: usize = 64 << 20;

/// Most bytes that the automaton of a grammar may take when it is compiled.
const MAX_COMPILED_BYTES: usize = 32 << 20;

/// Compiles grammars for one model.
pub struct GrammarCompiler {
    factory: Arc<ParserFactory>,
    pub(super) cache: GrammarCache,
    tokenizer: Arc<Tokenizer>,
    languages: [OnceLock<Arc<LanguageTable>>; Language::ALL.len()],
}

impl fmt::Debug for GrammarCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrammarCompiler")
            .field("vocab_size", &self.factory.tok_env().tok_trie().vocab_size())
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// A grammar ready to be started.
#[derive(Clone)]
pub struct CompiledGrammar {
    parser: Arc<TokenParser>,
}

impl fmt::Debug for CompiledGrammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledGrammar").field("num_bytes", &self.num_bytes()).finish_non_exhaustive()
    }
}

impl CompiledGrammar {
    /// The state before the first token of an output.
    pub fn start(&self) -> Box<dyn Constraint> {
        // A deep copy: what the automaton of one sequence grows by is freed with it, and its faults stay its own.
        let parser = self.parser.deep_clone();
        let vocabulary = parser.token_env.clone();
        Box::new(GrammarState::new(parser, vocabulary))
    }

    /// Bytes that the automaton takes, about.
    pub(super) fn num_bytes(&self) -> usize {
        self.parser.parser.lexer_stats().num_bytes
    }
}

impl GrammarCompiler {
    /// Prepares a vocabulary: some tens of milliseconds and megabytes for 100,000 tokens. An output may end with any
    /// of `end_token_ids`.
    pub fn new(tokenizer: Arc<Tokenizer>, end_token_ids: &[u32]) -> Self {
        let env = vocabulary::token_env(&tokenizer, end_token_ids);
        let mut factory =
            ParserFactory::new_simple(&env).expect("the slices of a vocabulary are fixed expressions");
        factory.quiet();
        *factory.limits_mut() = limits();
        Self {
            factory: Arc::new(factory),
            cache: GrammarCache::default(),
            tokenizer,
            languages: Default::default(),
        }
    }

    /// Compiles a grammar, or finds it compiled. Takes up to a few hundred milliseconds, on a thread of its own.
    ///
    /// # Errors
    /// [`GrammarError`] says what is not supported, what is wrong, or which bound the grammar passes.
    pub fn compile(&self, spec: &GrammarSpec) -> Result<CompiledGrammar, GrammarError> {
        check_size(spec)?;
        let key = cache_key(spec);
        if let Some(found) = self.cache.get(&key) {
            return Ok(found);
        }
        let factory = Arc::clone(&self.factory);
        let spec = spec.clone();
        let compile = move || {
            std::panic::catch_unwind(AssertUnwindSafe(|| {
                let grammar = prepare(&spec)?;
                build(&factory, grammar)
            }))
        };
        let thread = thread::Builder::new()
            .name("maru-grammar".to_owned())
            .stack_size(COMPILER_STACK_BYTES)
            .spawn(compile)
            .map_err(|error| GrammarError::invalid(format!("no thread to compile the grammar: {error}")))?;
        let compiled = match thread.join() {
            Ok(Ok(compiled)) => compiled?,
            _ => return Err(GrammarError::invalid("the grammar cannot be compiled")),
        };
        self.cache.insert(key, compiled.clone());
        Ok(compiled)
    }

    /// Holds an output to a language, and to `inner` beside it if there is one. Unlike the set of
    /// [`language_set`](super::language_set) this is exact where tokens hold only parts of characters.
    pub fn lock_language(
        &self,
        language: Language,
        inner: Option<Box<dyn Constraint>>,
    ) -> Box<dyn Constraint> {
        Box::new(LanguageLock::new(Arc::clone(self.table(language)), self.end_token_ids(), inner))
    }

    /// What [`language_set`](super::language_set) gives for this vocabulary, made when it is first wanted.
    pub fn language_set(&self, language: Language) -> Arc<TokenSet> {
        Arc::clone(self.table(language).somewhere())
    }

    fn table(&self, language: Language) -> &Arc<LanguageTable> {
        self.languages[language as usize]
            .get_or_init(|| Arc::new(LanguageTable::new(&self.tokenizer, language)))
    }

    fn end_token_ids(&self) -> Vec<u32> {
        let trie = self.factory.tok_env().tok_trie();
        trie.eos_tokens().iter().copied().filter(|&id| (id as usize) < trie.vocab_size()).collect()
    }
}

/// What one grammar may cost, in steps of the compiler and of the matcher.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        initial_lexer_fuel: 500_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}

fn check_size(spec: &GrammarSpec) -> Result<(), GrammarError> {
    let (num_bytes, max_bytes) = match spec {
        GrammarSpec::JsonSchema { schema } => {
            schema::check_nesting(schema)?;
            (schema.to_string().len(), MAX_GRAMMAR_BYTES)
        }
        GrammarSpec::JsonObject => (0, MAX_GRAMMAR_BYTES),
        GrammarSpec::Regex(regex) => (regex.len(), MAX_REGEX_BYTES),
        GrammarSpec::Lark(text) => (text.len(), MAX_GRAMMAR_BYTES),
        GrammarSpec::Choice(choices) => {
            if choices.is_empty() {
                return Err(GrammarError::invalid("there is nothing to choose from"));
            }
            if choices.len() > MAX_CHOICES {
                return Err(GrammarError::too_large(format!(
                    "{} choices, more than {MAX_CHOICES}",
                    choices.len()
                )));
            }
            (choices.iter().map(String::len).sum(), MAX_GRAMMAR_BYTES)
        }
    };
    if num_bytes > max_bytes {
        return Err(GrammarError::too_large(format!(
            "the grammar has {num_bytes} bytes, more than {max_bytes}"
        )));
    }
    Ok(())
}

/// A text that no other grammar has; its length is bounded as the grammar's is.
fn cache_key(spec: &GrammarSpec) -> String {
    match spec {
        GrammarSpec::JsonSchema { schema } => format!("schema {schema}"),
        GrammarSpec::JsonObject => "object".to_owned(),
        GrammarSpec::Regex(regex) => format!("regex {regex}"),
        GrammarSpec::Choice(choices) => format!("choice {}", json!(choices)),
        GrammarSpec::Lark(text) => format!("lark {text}"),
    }
}

/// Checks a grammar and writes it down for the compiler.
fn prepare(spec: &GrammarSpec) -> Result<TopLevelGrammar, GrammarError> {
    match spec {
        GrammarSpec::JsonSchema { schema } => Ok(TopLevelGrammar::from_json_schema(schema::checked(schema)?)),
        GrammarSpec::JsonObject => {
            Ok(TopLevelGrammar::from_json_schema(schema::checked(&json!({"type": "object"}))?))
        }
        GrammarSpec::Regex(regex) if schema::ends_in_escape(regex) => {
            Err(GrammarError::invalid("a regular expression does not end in a backslash"))
        }
        GrammarSpec::Regex(regex) => Ok(TopLevelGrammar::from_regex(regex)),
        GrammarSpec::Choice(choices) => {
            let literals: Vec<String> = choices.iter().map(|choice| lark::literal(choice)).collect();
            Ok(TopLevelGrammar::from_lark(format!("start: {}", literals.join(" | "))))
        }
        GrammarSpec::Lark(text) => Ok(TopLevelGrammar::from_lark(lark::checked(text)?)),
    }
}

fn build(factory: &ParserFactory, grammar: TopLevelGrammar) -> Result<CompiledGrammar, GrammarError> {
    let logger = llguidance::Logger::new(0, 0);
    let capabilities = InferenceCapabilities::default();
    let init = llguidance::api::GrammarInit::Serialized(grammar);
    let mut parser = factory
        .create_parser_from_init_ext(init, logger, capabilities, factory.limits().clone())
        .map_err(|error| refused(&format!("{error:#}")))?;
    parser.start_without_prompt();
    // The first mask shows what the grammar costs at its dearest, and whether anything can begin.
    parser.clone().compute_mask().map_err(|error| refused(&error.to_string()))?;
    let compiled = CompiledGrammar { parser: Arc::new(parser) };
    let num_bytes = compiled.num_bytes();
    if num_bytes > MAX_COMPILED_BYTES {
        return Err(GrammarError::too_large(format!(
            "the compiled grammar takes {num_bytes} bytes, more than {MAX_COMPILED_BYTES}"
        )));
    }
    Ok(compiled)
}

/// What the compiler's message means to a client.
fn refused(message: &str) -> GrammarError {
    const BOUNDS: [&str; 8] = [
        "too large",
        "too complex",
        "TooComplex",
        "limit",
        "stack level exceeded",
        "fuel",
        "too many",
        "too big",
    ];
    let reason = first_line(message);
    if let Some(rest) = reason.strip_prefix("panic") {
        return GrammarError::invalid(format!("the grammar cannot be compiled{rest}"));
    }
    if reason.contains("min/maxProperties only supported") {
        return GrammarError::unsupported("minProperties", "$", reason);
    }
    if reason.contains("NoExtension") {
        return GrammarError::invalid("nothing satisfies the grammar");
    }
    if !reason.contains("Token range") && BOUNDS.iter().any(|bound| reason.contains(bound)) {
        return GrammarError::TooLarge { reason };
    }
    GrammarError::Invalid { reason }
}

/// The first line of a message, cut to a bearable length.
pub(super) fn first_line(message: &str) -> String {
    const MAX_CHARACTERS: usize = 300;
    let line = message.lines().next().unwrap_or_default();
    match line.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
