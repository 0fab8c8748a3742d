//! The pieces put together: formats, transports and the engine, with what most programs want as defaults.

mod local;
