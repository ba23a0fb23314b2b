//! An HTTP server on hyper: HTTP/1.1 and HTTP/2, as the client begins.
//!
//! hyper is unchanged: it reads and writes an `Adapted` connection, its tasks run on this thread and need not be
//! `Send`, and its timeouts are on the proactor's clock. What it serves is in `src/site.rs`.

use std::process::ExitCode;

use clap::Parser;
use hyper::service::service_fn;
use proact::resource::Address;
use proact_async::Stop;
use proact_async::adapt::Adapted;
use proact_examples::{Limits, http, serve, site};

/// An HTTP server
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: Address,
    #[command(flatten)]
    limits: Limits,
}

fn main() -> ExitCode {
    let options = Options::parse();
    proact_examples::run(async move {
        let stop = Stop::new();
        serve(options.listen, &options.limits, &stop, |stream, peer| {
            let stop = stop.clone();
            async move {
                if let Err(failure) = http(Adapted::new(stream), &stop, service_fn(site)).await {
                    eprintln!("{peer}: {failure}");
                }
            }
        })
        .await?;
        Ok(())
    })
}
