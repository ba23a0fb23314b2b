//! A PostgreSQL client: runs statements, and prints the rows that they yield, column by column with tabs between.
//!
//! `tokio-postgres` is unchanged: `connect_raw` takes any stream of tokio's traits, and the connection is a task of
//! this thread. Rows are printed as they come; a long result is never here as a whole.

use std::io::Write;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures_util::TryStreamExt;
use proact::resource::Address;
use proact_async::adapt::Adapted;
use proact_async::net::TcpStream;
use proact_async::{spawn, time};
use proact_examples::Failure;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

/// A PostgreSQL client
#[derive(Parser)]
struct Options {
    /// Where the server listens: an address and port, or unix:PATH
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5432")]
    to: Address,
    /// Whom to log in as. A password is taken from PGPASSWORD
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    user: String,
    /// Which database
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    database: String,
    /// Statements of SQL, with semicolons between
    sql: String,
}

/// How long it may take to connect and log in.
const CONNECT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let options = Options::parse();
    proact_examples::run(async move {
        let mut config = Config::new();
        config.user(&options.user).dbname(&options.database).application_name("proact");
        if let Ok(password) = std::env::var("PGPASSWORD") {
            config.password(password);
        }
        let logging_in = async {
            let stream = Adapted::new(TcpStream::connect(options.to.clone()).await?);
            config.connect_raw(stream, NoTls).await.map_err(explain)
        };
        let (client, connection) = time::timeout(CONNECT, pin!(logging_in)).await??;
        let connection = spawn(connection);

        let mut messages = pin!(client.simple_query_raw(&options.sql).await.map_err(explain)?);
        let mut output = std::io::stdout().lock();
        while let Some(message) = messages.try_next().await.map_err(explain)? {
            if let SimpleQueryMessage::Row(row) = message {
                let columns: Vec<_> = (0..row.len()).map(|index| row.get(index).unwrap_or("")).collect();
                writeln!(output, "{}", columns.join("\t"))?;
            }
        }
        // The connection ends when nobody can ask anything of it any more.
        drop(client);
        connection.await?.map_err(explain)
    })
}

/// With what the server says of it.
fn explain(error: tokio_postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(told) => format!("{told}").into(),
        None => error.into(),
    }
}
