//! What the console asks to know who one is.

use super::super::console::{SETTINGS, Settings};
use super::super::me::Me;
use super::{Operation, Schemas};

pub(super) fn operations(schemas: &mut Schemas) -> [Operation; 2] {
    [
        Operation::get(
            SETTINGS,
            "getConsoleSettings",
            "How people log in to the console",
            schemas.written::<Settings>(),
        ),
        Operation {
            problems: &[400],
            ..Operation::get(
                "/v1/me",
                "getMe",
                "Who asks, and what they may do",
                schemas.written::<Me>(),
            )
        },
    ]
}
