//! One function for each route: it names what it reads in its arguments, calls the service and shapes the answer.

mod answers;
pub mod backup;
pub mod export;
pub mod imports;
pub mod metrics;
pub mod model;
pub mod pictures;
pub mod products;
pub mod removal;
pub mod search;
pub mod status;
