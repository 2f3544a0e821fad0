//! One integration binary, a module a subject; everything here uses the library as a stranger would, or runs the
//! real executable.

mod api;
mod browser;
mod catalogue;
mod chip;
mod cli;
mod clients;
mod crash;
mod documents;
mod drawing;
mod emulator;
mod golden;
mod guides;
mod imports;
mod keys;
mod layering;
mod limits;
mod live;
mod metrics;
mod openapi;
mod page;
mod page_refusals;
mod products;
mod reembedding;
mod report;
mod server;
mod shell;
mod sources;
mod status;
mod stopping;
mod storage;
mod support;
mod trace;
mod upkeep;
mod writes;
