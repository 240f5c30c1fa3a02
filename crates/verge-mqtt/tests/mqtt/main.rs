//! The clients against a scripted broker, which does what no broker should, and against a real one; the TLS
//! front against clients that mean no good.

mod clients;
mod front;
mod probe;
mod scripted;
mod sink;
mod source;
mod source_limits;
mod support;
