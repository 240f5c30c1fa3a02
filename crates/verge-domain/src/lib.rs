//! What is true in Verge without any I/O.
//!
//! This crate is the ground floor. It must never open a socket or a file, read a clock, draw a random
//! number or start a thread: time and randomness come in as arguments, so every rule here can be tested
//! with plain values.
//!
//! Reading order: [`id`] and [`time`] (the words), [`reading`] and [`frame`] (what comes in), [`motion`] (what moves in it), [`observation`] (what judges look at), [`scheme`] (classes of a user), [`rejection`]
//! (why some of it does not), [`excerpt`] and [`looks`] (what it was, shown and guessed), [`finding`] (what a judge says), [`policy`] (how findings become events with a
//! life), [`verdict`] (what goes out) with its [`body`], [`withdrawn`] (what will not come),
//! [`interval`], [`sequence`] and [`life`] (bookkeeping both ends share), [`filter`] (topics and which of them are meant),
//! [`backoff`], [`link`] (what a link reports of itself), [`board`] (what is true now), [`mod@image`] (the same for readers that poll), [`address`] (who may), [`live`] (a gateway as people see it) with [`configured`], [`history`] (what signals showed of late), [`judge_account`] (how often judges alarm, in words), [`stage`] (the traits that join the crates; those of
//! [`store`] and [`sink`] have files of their own), [`stored`] (what a store is given and gives back).

pub mod action;
pub mod address;
pub mod alarms;
pub mod backoff;
pub mod board;
pub mod body;
pub mod configured;
pub mod countable;
pub mod excerpt;
pub mod filter;
pub mod finding;
pub mod frame;
pub mod group;
pub mod history;
pub mod id;
pub mod image;
pub mod interval;
pub mod judge_account;
pub mod life;
pub mod link;
pub mod live;
pub mod looks;
pub mod model_order;
pub mod motion;
pub mod observation;
pub mod policy;
pub mod reading;
pub mod rejection;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
pub mod scheme;
pub mod sequence;
pub mod settable;
pub mod sink;
pub mod stage;
pub mod store;
pub mod stored;
pub mod tag;
pub mod time;
pub mod verdict;
pub mod withdrawn;
mod words;
