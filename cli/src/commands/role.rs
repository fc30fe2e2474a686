//! `subak role`: who may do what, by the stewards' quorum.

use super::approve::proposed;
use crate::{
    context::Context,
    failure::{Done, Failure},
};
use clap::{Args, Subcommand};
use serde_json::json;
use subak_ledger::book::types::{Handle, Role as RoleName};
use subak_proto::v1::{self, event::Kind};

/// Grant and revoke roles, by the stewards' quorum.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Propose that an agent gets a role
    ///
    /// steward: governs, with the quorum. maintainer: validates work, adds and admits
    /// agents. treasurer: holds and pays cash. With a quorum of 1 it holds at once.
    #[command(
        after_help = "Examples:\n  subak role grant ben maintainer\n  subak role grant tess treasurer --as ana"
    )]
    Grant(Which),
    /// Propose that an agent loses a role
    #[command(after_help = "Example:\n  subak role revoke ben maintainer")]
    Revoke(Which),
}

/// An agent and a role.
#[derive(Debug, Args)]
pub struct Which {
    /// The agent: a person with a key
    handle: String,
    /// steward, maintainer or treasurer
    role: String,
}

impl Role {
    /// Runs it.
    pub async fn run(self, cx: &Context) -> Done {
        let (which, grant) = match self {
            Self::Grant(w) => (w, true),
            Self::Revoke(w) => (w, false),
        };
        let role = RoleName::from_word(&which.role).ok_or_else(|| {
            Failure::usage(
                format!("role {:?}: expected steward, maintainer or treasurer", which.role),
                "name one of the three",
            )
        })?;
        let handle = Handle::new(&which.handle)?;
        let open = cx.write().await?;
        open.book.find(&handle)?; // refused now, not when the last steward approves
        let (agent, wire) = (handle.to_string(), role.to_wire());
        let (event, done) = if grant {
            let event = Kind::RoleGrant(v1::RoleGrant { agent, role: wire });
            (event, format!("{handle} is {role}"))
        } else {
            let event = Kind::RoleRevoke(v1::RoleRevoke { agent, role: wire });
            (event, format!("{handle} is no longer {role}"))
        };
        let data = json!({ "agent": handle.as_str(), "role": role.word(), "granted": grant });
        proposed(cx, &open, event, &data, &done).await
    }
}
