//! Tests of the whole gateway through its public interface. One binary, so that it links once.

mod config;
