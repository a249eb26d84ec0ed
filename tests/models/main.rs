//! Golden models: tiny checkpoints with known logits, through every backend, instruction set,
//! weight format and way of feeding tokens.

mod formats;
mod generated;
mod golden;
mod hidden;
mod hostile;
mod invariance;
mod llama;
mod support;
