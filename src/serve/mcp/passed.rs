//! Calls that are passed on to their servers, over MCP.
//!
//! Invariant: the caller gets the server's `result` as it came, its progress under the caller's own
//! token, and its questions only where the caller's protocol has them.

use axum::http::request::Parts;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, JsonObject, ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::Value;
use tokio::sync::mpsc;

use super::super::call::arguments::Asked;
use super::super::call::{Refused, Way, member};
use super::super::door::StepUp;
use super::super::limits::quota::Purse;
use super::super::observe::Lifted;
use super::super::raw;
use super::super::trail::Trail;
use super::McpHandler;
use crate::crawl::Progress;
use crate::crawl::call::Input;

/// Steps of progress that may wait to be sent.
const STEPS: usize = 32;
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

impl McpHandler {
    /// Passes a call on.
    pub(super) async fn pass_on(
        &self,
        asked: Result<Asked, Refused>,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, String> {
        let parts = context.extensions.get::<Parts>();
        // A call has a time limit of its own.
        Lifted::of_mcp(context).lift();
        let purse = parts.and_then(|parts| parts.extensions.get::<Purse>()).cloned();
        let modern = context
            .protocol_version()
            .is_some_and(|version| version >= ProtocolVersion::V_2026_07_28);
        let input = modern.then(|| Input {
            capabilities: context.meta.get(CAPABILITIES).cloned().unwrap_or(Value::Null),
            responses: request.input_responses,
            state: request.request_state,
        });
        let token = context.meta.get_progress_token();
        let (progress, mut steps) = mpsc::channel::<Progress>(STEPS);
        let progress = token.is_some().then_some(progress);
        let trail = Trail::of_mcp(context, &self.audit);
        let way = Way { trail, input, progress, purse };
        let mut answering = std::pin::pin!(self.calls.pass_on(asked, way));
        // Ends when the call does. Apart from it: who reads nothing holds up no call, which would
        // else count as under way for as long as that, whatever its time limit.
        let mut telling = std::pin::pin!(async {
            while let Some(step) = steps.recv().await {
                let Some(token) = token.clone() else { return };
                let mut params = ProgressNotificationParam::new(token, step.progress);
                params.total = step.total;
                params.message = step.message;
                let _ = context.peer.notify_progress(params).await;
            }
        });
        let (mut all_told, mut answered) = (false, None);
        let answered = loop {
            tokio::select! {
                biased;
                () = &mut telling, if !all_told => all_told = true,
                () = context.ct.cancelled() => return Err("the call was cancelled".to_owned()),
                result = &mut answering, if answered.is_none() => answered = Some(result),
            }
            if all_told && let Some(answered) = answered.take() {
                break answered;
            }
        };
        let result = answered.map_err(|refused| refused.to_string())?.result;
        raw::whole(complete(result, modern), context)
    }

    /// Has a caller told that they want another scope for that: over HTTP as a challenge, which
    /// takes the place of what is said here.
    pub(super) fn step_up(&self, context: &RequestContext<RoleServer>) -> String {
        let parts = context.extensions.get::<Parts>();
        if let Some(step_up) = parts.and_then(|parts| parts.extensions.get::<StepUp>())
            && self.calls.are_on()
        {
            step_up.to_call();
        }
        "you may not have tools called here: call this one at its own server".to_owned()
    }

    /// What a call of a tool that is not ours means: one of a server, by its id.
    pub(super) async fn named(&self, name: &str, arguments: Option<JsonObject>) -> Option<Asked> {
        if !self.calls.are_on() {
            return None;
        }
        let tool = self.calls.find(name).await.ok()?;
        Some(Asked { id: tool.id.to_string(), arguments: arguments.unwrap_or_default() })
    }

    pub(super) fn no_such_tool(&self) -> ErrorData {
        let told = if self.calls_are_on() {
            "no such tool here: search_tools finds tools, and call_tool calls them by their ids"
        } else {
            "no such tool here: toolscout offers search_tools, get_tool and list_servers; the tools \
             they name are called at their own servers"
        };
        ErrorData::invalid_params(told, None)
    }
}

/// The result as the caller's protocol has it: since 2026-07-28 each says what it is.
fn complete(result: String, modern: bool) -> String {
    if !modern || member(&result, "resultType").is_some() {
        return result;
    }
    match result.trim_start().strip_prefix('{') {
        None => result,
        Some(rest) if rest.trim_start().starts_with('}') => {
            format!(r#"{{"resultType":"complete"{rest}"#)
        }
        Some(rest) => format!(r#"{{"resultType":"complete",{rest}"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_what_it_is_where_it_must() {
        let old = r#"{ "content":[],"n":1e400}"#;
        assert_eq!(complete(old.into(), false), old);
        let new = r#"{"resultType":"complete", "content":[],"n":1e400}"#;
        assert_eq!(complete(old.into(), true), new);
        assert_eq!(complete(new.into(), true), new);
        assert_eq!(complete("{ }".into(), true), r#"{"resultType":"complete" }"#);
    }
}
