//! `toolscout auth login`: a listener of its own on loopback that the browser comes back to, or a
//! URL that somebody pastes.

use std::borrow::Cow;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::super::browser;
use super::LoginArgs;
use crate::auth::{Callback, Login, PATIENCE};

/// Time for the browser to take its page.
const FAREWELL: Duration = Duration::from_secs(3);

/// Runs the subcommand.
pub async fn run(args: &LoginArgs) -> anyhow::Result<ExitCode> {
    let account = args.known.account(&args.server)?;
    let port = account.config.redirect_port;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.with_context(|| {
        format!("can't listen on 127.0.0.1:{port}: free it, or change `oauth.redirect_port`")
    })?;
    let redirect = Url::parse(&format!("http://{}/callback", listener.local_addr()?))?;
    let login = Login::begin(&account, &redirect).await?;
    let (answers, mut answered) = mpsc::channel(1);
    let page = Page { state: login.state().to_owned(), answers: answers.clone() };
    let app = Router::new().route("/callback", get(come_back)).with_state(page);
    let done = CancellationToken::new();
    let serving = tokio::spawn({
        let done = done.clone().cancelled_owned();
        async move { axum::serve(listener, app).with_graceful_shutdown(done).await }
    });

    let mut err = anstream::stderr();
    if !login.scopes.is_empty() {
        writeln!(err, "{} asks for: {}", args.server, login.scopes.join(" "))?;
    }
    let opened = !args.paste && !args.no_browser && browser::open(&login.url);
    let what = if opened { "a browser opens at" } else { "open this URL in a browser" };
    writeln!(err, "{what}:\n\n  {}\n", login.url)?;
    if args.paste {
        writeln!(
            err,
            "When you have said yes there, the browser goes to an address that begins with\n\
             {redirect}, which may not load. Paste that address here:"
        )?;
        read_pasted(login.state().to_owned(), answers);
    }
    let Ok(Some(answer)) = tokio::time::timeout(PATIENCE, answered.recv()).await else {
        bail!("nobody answered in {} minutes: start again", PATIENCE.as_secs() / 60);
    };
    let finished = login.finish(&answer.callback).await;
    let page = match &finished {
        Ok(()) => "toolscout is logged in. This page can be closed.\n".to_owned(),
        Err(error) => format!("toolscout is not logged in: {error}\n"),
    };
    // A browser that has gone away needs no page.
    let _ = answer.page.send(page);
    done.cancel();
    let _ = tokio::time::timeout(FAREWELL, serving).await;
    finished?;
    let scopes = account.record().and_then(|record| record.tokens).map(|tokens| tokens.scopes);
    let scopes = scopes.filter(|scopes| !scopes.is_empty()).map(|scopes| scopes.join(" "));
    let scopes = scopes.map(|scopes| format!(" for {scopes}")).unwrap_or_default();
    writeln!(anstream::stdout(), "{}: logged in{scopes}", args.server)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone)]
struct Page {
    state: String,
    answers: mpsc::Sender<Answer>,
}

/// What came back, and where to say what became of it.
struct Answer {
    callback: Callback,
    page: oneshot::Sender<String>,
}

async fn come_back(
    State(page): State<Page>,
    RawQuery(query): RawQuery,
) -> (StatusCode, Cow<'static, str>) {
    let callback = Callback::parse(&format!("?{}", query.unwrap_or_default()));
    match callback.filter(|callback| callback.state().as_deref() == Some(&page.state)) {
        None => (StatusCode::BAD_REQUEST, "This is not the answer that is waited for.\n".into()),
        Some(callback) => {
            let (told, tells) = oneshot::channel();
            // A second answer finds nobody waiting.
            let _ = page.answers.try_send(Answer { callback, page: told });
            let text = tells.await.unwrap_or_else(|_| "The login is over.\n".into());
            (StatusCode::OK, text.into())
        }
    }
}

/// A thread of its own, since a read of stdin can't be given up.
fn read_pasted(state: String, answers: mpsc::Sender<Answer>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            match Callback::parse(&line) {
                Some(callback) if callback.state().as_ref() == Some(&state) => {
                    let (page, _) = oneshot::channel();
                    let _ = answers.blocking_send(Answer { callback, page });
                    return;
                }
                _ if line.trim().is_empty() => {}
                _ => {
                    let _ = writeln!(
                        anstream::stderr(),
                        "that is not the address of this login: paste all of it, from http:// on"
                    );
                }
            }
        }
    });
}
