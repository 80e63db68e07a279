//! The MCP server on a connection that lasts.
//!
//! Invariant: a result that is passed on is equal, as JSON, to what its server sent; where a value
//! can't hold it (a number beyond all range), its text is the result.

use std::borrow::Cow;

use rmcp::ErrorData;
use rmcp::model::{
    ClientNotification, ClientRequest, CustomResult, ProtocolVersion, ServerConfig, ServerResult,
};
use rmcp::service::{NotificationContext, RequestContext, RoleServer, Service};
use serde_json::json;

use super::McpHandler;
use crate::serve::raw::Slot;

/// The handler, whose results may be others'.
pub struct Lasting(pub McpHandler);

impl Service<RoleServer> for Lasting {
    async fn handle_request(
        &self,
        request: ClientRequest,
        mut context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        let slot = Slot::default();
        context.extensions.insert(slot.clone());
        let result = self.0.handle_request(request, context).await?;
        let Some(text) = slot.take() else { return Ok(result) };
        let value = serde_json::from_str(&text).unwrap_or_else(
            |_| json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] }),
        );
        Ok(ServerResult::CustomResult(CustomResult(value)))
    }

    async fn handle_notification(
        &self,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.0.handle_notification(notification, context).await
    }

    fn get_info(&self) -> ServerConfig {
        Service::get_info(&self.0)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Service::supported_protocol_versions(&self.0)
    }
}
