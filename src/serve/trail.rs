//! What is known of a request on its way: its id, where it came from, who asks; and what of it is
//! kept in the audit log.
//!
//! Invariant: every way that finds, lists, reads or calls tools, and every operator's route, leaves
//! one event; no result does.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Map, Value};
use tracing::Span;

use super::scope::PREFIX;
use crate::access::caller::{Caller, Proof};
use crate::activity::{Activity, Search};
use crate::audit::{Action, Audit, Event, Way};
use crate::live::Live;
use crate::search::{Answer, Query};
use crate::tool::ToolId;

/// Goes with a request; cheap to clone.
#[derive(Clone, Default)]
pub struct Trail(Arc<Known>);

#[derive(Default)]
struct Known {
    audit: Audit,
    id: Option<Arc<str>>,
    address: Option<IpAddr>,
    way: Option<Way>,
    caller: OnceLock<Caller>,
    /// Whose toolscout it is for, where its caller is of no tenant.
    tenant: OnceLock<Arc<str>>,
    span: Option<Span>,
}

/// Routes that list what many may see; the part after a profile's prefix.
const LISTS: [&str; 8] = [
    "/v1/tools",
    "/v1/servers",
    "/v1/map",
    "/v1/events",
    "/v1/anthropic/tools",
    "/v1/openai/tools",
    "/v1/changes",
    "/v1/findings",
];

impl Trail {
    /// Of a request that came over HTTP.
    pub fn of_request(audit: Audit, id: Arc<str>, address: Option<IpAddr>, span: Span) -> Self {
        let (id, way, span) = (Some(id), Some(Way::Http), Some(span));
        Self(Arc::new(Known { audit, id, address, way, span, ..Known::default() }))
    }

    /// Of a request over stdin, which is whoever runs this toolscout.
    pub fn of_stdio(audit: Audit) -> Self {
        let id = Some(format!("{:016x}", fastrand::u64(..)).into());
        let caller = OnceLock::from(Caller { name: "stdio".into(), ..Caller::operator() });
        let way = Some(Way::Stdio);
        Self(Arc::new(Known { audit, id, way, caller, ..Known::default() }))
    }

    /// The span of something that is done for this request, in whichever task that is.
    pub fn span_of(&self, tool: &str) -> Span {
        // As the caller spelt it: escaped, and cut.
        let tool: String = tool.chars().take(64).collect();
        let parent = self.0.span.as_ref().and_then(Span::id);
        tracing::debug_span!(parent: parent, "tools/call", ?tool)
    }

    /// Of a request over MCP; `stdio` where it came that way.
    pub fn of_mcp(context: &RequestContext<RoleServer>, stdio: &Audit) -> (Self, Way) {
        let parts = context.extensions.get::<Parts>();
        if let Some(trail) = parts.and_then(|parts| parts.extensions.get::<Self>()) {
            return (trail.clone(), Way::Mcp);
        }
        (Self::of_stdio(stdio.clone()), Way::Stdio)
    }

    /// Notes who asks, unless that is known.
    pub fn note(&self, caller: &Caller) {
        let _ = self.0.caller.set(caller.clone());
    }

    /// Notes whose toolscout it is for.
    pub fn note_tenant(&self, tenant: &Arc<str>) {
        let _ = self.0.tenant.set(Arc::clone(tenant));
    }

    /// Who asks.
    pub fn caller(&self) -> Caller {
        self.0.caller.get().cloned().unwrap_or_else(Caller::anonymous)
    }

    /// An event of this request.
    fn event(&self, action: Action, outcome: impl Into<Cow<'static, str>>) -> Event {
        let mut caller = self.0.caller.get().cloned();
        if let (Some(caller), Some(tenant)) = (&mut caller, self.0.tenant.get()) {
            caller.tenant.get_or_insert_with(|| Arc::clone(tenant));
        }
        Event {
            request: self.0.id.clone(),
            way: self.0.way.unwrap_or(Way::Own),
            caller,
            address: self.0.address,
            at: SystemTime::now(),
            ..Event::own(action, outcome)
        }
    }

    /// Counts that tools were looked for; not where the answer is explained: then a person looks at how it
    /// comes about, as on the console, and no host is spared a definition.
    fn count_search(&self, way: Way, live: &Live, query: &Query, answer: Option<&Answer>) {
        if query.explain {
            return;
        }
        let caller = self.0.caller.get();
        let profile = || caller?.profile.clone();
        live.activity().note_search(Search {
            query,
            answer,
            whole_bytes: live.index().definition_bytes,
            way,
            caller: caller.map_or_else(|| "anonymous".into(), |caller| Arc::clone(&caller.name)),
            profile: live.scope().map(Into::into).or_else(profile),
        });
    }

    /// Keeps that tools were looked for, and what was found.
    pub fn keep_search<E>(
        &self,
        way: Way,
        live: &Live,
        query: &Query,
        answer: Result<&Answer, &E>,
        began: Instant,
    ) {
        self.count_search(way, live, query, answer.ok());
        self.0.audit.keep(|| {
            let hits = answer.ok().into_iter().flat_map(|answer| &answer.hits);
            Event {
                way,
                profile: live.scope().map(Into::into),
                queries: query.texts.clone(),
                tools: hits.map(|hit| hit.tool.id.clone()).collect(),
                generation: answer.ok().map(|answer| answer.generation),
                took: Some(began.elapsed()),
                ..self.event(Action::Search, if answer.is_ok() { "answered" } else { "refused" })
            }
        });
    }

    /// Keeps that tools were chosen for a conversation.
    pub fn keep_select(
        &self,
        live: &Live,
        query: Query,
        answer: &Answer,
        tools: &[&str],
        began: Instant,
    ) {
        self.count_search(self.0.way.unwrap_or(Way::Own), live, &query, Some(answer));
        self.0.audit.keep(|| Event {
            profile: live.scope().map(Into::into),
            queries: query.texts,
            tools: tools.iter().map(|id| ToolId::from(*id)).collect(),
            generation: Some(answer.generation),
            took: Some(began.elapsed()),
            ..self.event(Action::Select, "answered")
        });
    }

    /// Keeps that one definition was read, or was to be.
    pub fn keep_get(&self, way: Way, live: &Live, asked: &str, found: Option<&ToolId>) {
        self.0.audit.keep(|| Event {
            way,
            profile: live.scope().map(Into::into),
            target: found.is_none().then(|| asked.to_owned()),
            tools: found.into_iter().cloned().collect(),
            ..self.event(Action::Get, if found.is_some() { "answered" } else { "unknown_tool" })
        });
    }

    /// Keeps that servers were listed.
    pub fn keep_list(&self, way: Way, live: &Live, what: &str, count: usize) {
        self.0.audit.keep(|| Event {
            way,
            profile: live.scope().map(Into::into),
            target: Some(what.to_owned()),
            count: u64::try_from(count).ok(),
            ..self.event(Action::List, "answered")
        });
    }

    /// A call that is kept when it has ended, also where nobody waited for it.
    pub fn begin_call(
        &self,
        way: Way,
        live: &Live,
        asked: Option<(&str, &Map<String, Value>)>,
    ) -> CallKept {
        let kept = self.0.audit.is_on().then(|| Event {
            way,
            profile: live.scope().map(Into::into),
            target: asked.map(|(id, _)| id.to_owned()),
            arguments: asked.map(|(_, arguments)| arguments.clone()),
            ..self.event(Action::Call, "cancelled")
        });
        let (audit, activity) = (self.0.audit.clone(), live.activity().clone());
        CallKept { audit, activity, event: kept, began: Instant::now(), is_answered: false }
    }

    /// A request of which is kept what can be told by its path and its end, also where nobody waited
    /// for that: what it was to change may have been changed all the same.
    pub fn begin<'a>(&'a self, method: &'a Method, route: &'a str, path: &'a str) -> Ending<'a> {
        Ending { trail: self, method, route, path, began: Instant::now(), status: None }
    }

    fn keep_end(&self, ending: &Ending<'_>) {
        let Ending { method, route, path, began, status, .. } = *ending;
        let place = route.strip_prefix(PREFIX).unwrap_or(route);
        let action = match status {
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Action::Refused,
            _ if place.starts_with("/v1/admin/") => Action::Admin,
            _ if place.starts_with("/oauth/") => Action::Login,
            _ if method == Method::GET && LISTS.contains(&place) => Action::List,
            _ => return,
        };
        let outcome =
            status.map_or(Cow::Borrowed("cancelled"), |status| status.as_u16().to_string().into());
        self.0.audit.keep(|| Event {
            target: Some(format!("{method} {path}")),
            took: Some(began.elapsed()),
            ..self.event(action, outcome)
        });
    }
}

/// See [`Trail::begin`].
pub struct Ending<'a> {
    trail: &'a Trail,
    method: &'a Method,
    route: &'a str,
    path: &'a str,
    began: Instant,
    status: Option<StatusCode>,
}

impl Ending<'_> {
    /// It was answered like this.
    pub fn answered(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.trail.keep_end(self);
    }
}

/// See [`Trail::begin_call`].
pub struct CallKept {
    audit: Audit,
    activity: Activity,
    event: Option<Event>,
    began: Instant,
    is_answered: bool,
}

impl CallKept {
    /// It ended like this; `tool` is what was called, where there is one.
    pub fn ended(mut self, outcome: &'static str, tool: Option<&ToolId>) {
        self.is_answered = outcome == "answered";
        if let Some(event) = &mut self.event {
            event.outcome = outcome.into();
            event.tools = tool.into_iter().cloned().collect();
        }
    }
}

impl Drop for CallKept {
    fn drop(&mut self) {
        self.activity.note_call(self.is_answered);
        let Some(event) = self.event.take() else { return };
        let (at, took) = (SystemTime::now(), Some(self.began.elapsed()));
        self.audit.keep(|| Event { at, took, ..event });
    }
}

/// Notes who asks, once the door has let them in: the layer next to the routes.
pub async fn know(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let (Some(trail), Some(caller)) = (extensions.get::<Trail>(), extensions.get::<Caller>()) {
        trail.note(caller);
    }
    next.run(request).await
}

impl<S: Send + Sync> FromRequestParts<S> for Trail {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl Trail {
    /// It was to search or to call, and is of no tenant.
    pub fn is_counted(&self, route: &str) -> bool {
        let asked = ["/v1/search", "/v1/select", "/v1/call", "/mcp"];
        let is_tenants = self.0.caller.get().is_some_and(|caller| caller.tenant.is_some());
        !is_tenants && asked.contains(&route.strip_prefix(PREFIX).unwrap_or(route))
    }

    /// Whoever asks may see what happens inside.
    pub fn is_operators(&self) -> bool {
        self.0.caller.get().is_some_and(|caller| {
            caller.scopes.has(crate::access::caller::Scope::Admin) && caller.proof != Proof::None
        })
    }
}
