//! Our types and the protocol's, both ways.
//!
//! Owns conversions, and how a [`NodeError`] travels: as a status whose details are a
//! `Refused` message with code, wording and next step. Guarantees that an error comes back
//! as what it was. Leaves out what is asked and answered (`service`, `client`).

use crate::{
    Agreements, Append, Appended, LedgerInfo, Mirror, NodeError, RawEntry, Wait,
    refusal::{corrupt, world},
};
use prost::{Message as _, bytes::Bytes};
use subak_ledger::{
    book::types::AgentKind,
    log::{Hash, LedgerId, entry::LEAF_LEN, statement::MAX_ENVELOPE},
    store::Disclosure,
};
use subak_proto::v1;
use tonic::{Code, Status};

/// The largest message that is read, in bytes: the largest envelope with the texts behind
/// it, or a page of entries that ends with the largest envelope; and room to spare.
pub(crate) const MOST: usize = 2 << 20;

/// 32 bytes out of a message; `field` names them.
pub(crate) fn hash(bytes: &[u8], field: &str) -> Result<Hash, String> {
    bytes.try_into().map_err(|_| format!("{field}: expected 32 bytes, found {}", bytes.len()))
}

/// A list of hashes out of a message.
pub(crate) fn hashes(list: &[Vec<u8>], field: &str) -> Result<Vec<Hash>, String> {
    list.iter().map(|bytes| hash(bytes, field)).collect()
}

/// A list of hashes for a message.
pub(crate) fn bytes(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.to_vec()).collect()
}

pub(crate) fn path(reply: &v1::PathReply) -> Result<Vec<Hash>, String> {
    hashes(&reply.hash, "hash")
}

/// An id or a hash that need not be given.
pub(crate) fn maybe_hash(bytes: &[u8], field: &str) -> Result<Option<Hash>, String> {
    (!bytes.is_empty()).then(|| hash(bytes, field)).transpose()
}

// ---- ledgers ----

pub(crate) fn info_out(info: LedgerInfo) -> v1::LedgerInfo {
    v1::LedgerInfo {
        id: info.id.0.to_vec(),
        name: info.name,
        kind: info.kind.to_wire(),
        size: info.size,
        sandbox: info.sandbox,
        operator_key: info.operator.to_vec(),
        chain: info.chain.to_vec(),
        recorded_at: info.recorded_at,
        mirror: info.mirror.map(mirror_out),
        agreements: info.agreements.map(agreements_out),
    }
}

fn agreements_out(agreements: Agreements) -> v1::Agreements {
    let partner = agreements.partners.iter().map(|partner| partner.0.to_vec()).collect();
    v1::Agreements { count: agreements.count, partner }
}

fn agreements_in(agreements: v1::Agreements) -> Result<Agreements, String> {
    let partners = hashes(&agreements.partner, "ledger.agreements.partner")?;
    let partners = partners.into_iter().map(LedgerId).collect();
    Ok(Agreements { count: agreements.count, partners })
}

fn mirror_out(mirror: Mirror) -> v1::Mirror {
    let Mirror { source, size, heard_at, trouble } = mirror;
    v1::Mirror { source, size, heard_at, trouble }
}

fn mirror_in(mirror: v1::Mirror) -> Mirror {
    let v1::Mirror { source, size, heard_at, trouble } = mirror;
    Mirror { source, size, heard_at, trouble }
}

pub(crate) fn info_in(info: v1::LedgerInfo) -> Result<LedgerInfo, String> {
    Ok(LedgerInfo {
        id: LedgerId(hash(&info.id, "ledger.id")?),
        kind: AgentKind::from_wire(info.kind).map_err(|reject| reject.to_string())?,
        size: info.size,
        sandbox: info.sandbox,
        operator: hash(&info.operator_key, "ledger.operator_key")?,
        chain: hash(&info.chain, "ledger.chain")?,
        recorded_at: info.recorded_at,
        mirror: info.mirror.map(mirror_in),
        agreements: info.agreements.map(agreements_in).transpose()?,
        name: info.name,
    })
}

pub(crate) fn wait_out(wait: Wait) -> v1::Wait {
    let Wait { agreement, other, code, message } = wait;
    v1::Wait { agreement: agreement.to_vec(), other: other.0.to_vec(), code, message }
}

pub(crate) fn wait_in(wait: v1::Wait) -> Result<Wait, String> {
    let v1::Wait { agreement, other, code, message } = wait;
    let (agreement, other) = (hash(&agreement, "wait.agreement")?, hash(&other, "wait.other")?);
    Ok(Wait { agreement, other: LedgerId(other), code, message })
}

// ---- appending ----

pub(crate) fn append_out(append: Append) -> v1::AppendRequest {
    v1::AppendRequest {
        envelope: append.envelope,
        disclosure: append.disclosures.into_iter().map(disclosure_out).collect(),
        at: append.at.unwrap_or(0),
    }
}

pub(crate) fn append_in(request: v1::AppendRequest) -> Result<Append, String> {
    let disclosures = request.disclosure.into_iter().map(disclosure_in);
    Ok(Append {
        // A copy: a part keeps all of its message, which a stranger may have padded, for as long
        // as the statement waits.
        envelope: Bytes::copy_from_slice(&request.envelope),
        disclosures: disclosures.collect::<Result<_, _>>()?,
        at: (request.at > 0).then_some(request.at),
    })
}

pub(crate) fn appended_out(appended: Appended) -> v1::Appended {
    v1::Appended {
        ledger: appended.ledger.0.to_vec(),
        entry: appended.entry,
        leaf: appended.leaf,
        path: bytes(&appended.path),
        checkpoint: appended.checkpoint,
        erased_text_lingers: appended.erased_text_lingers,
    }
}

pub(crate) fn appended_in(appended: v1::Appended) -> Result<Appended, String> {
    Ok(Appended {
        ledger: LedgerId(hash(&appended.ledger, "appended.ledger")?),
        entry: appended.entry,
        leaf: appended.leaf,
        path: hashes(&appended.path, "appended.path")?,
        checkpoint: appended.checkpoint,
        erased_text_lingers: appended.erased_text_lingers,
    })
}

// ---- entries and disclosures ----

pub(crate) fn entry_out(raw: RawEntry) -> v1::Entry {
    v1::Entry { seq: raw.seq, leaf: raw.leaf, envelope: raw.envelope }
}

/// Judges lengths only, so that nothing over them is kept.
pub(crate) fn entry_in(entry: v1::Entry) -> Result<RawEntry, String> {
    let v1::Entry { seq, leaf, envelope } = entry;
    if leaf.len() != LEAF_LEN {
        let found = leaf.len();
        return Err(format!("entry {seq}: leaf: expected {LEAF_LEN} bytes, found {found}"));
    }
    if envelope.len() > MAX_ENVELOPE {
        let found = envelope.len();
        return Err(format!(
            "entry {seq}: envelope: expected at most {MAX_ENVELOPE} bytes, found {found}"
        ));
    }
    Ok(RawEntry { seq, leaf, envelope })
}

pub(crate) fn disclosure_out(d: Disclosure) -> v1::Disclosure {
    let salt = d.salt.to_vec();
    v1::Disclosure { salt, tag: d.tag, author: d.author, field: d.field, text: d.bytes }
}

/// Without its commitment, which does not travel: whoever reads recomputes it.
pub(crate) fn disclosure_in(d: v1::Disclosure) -> Result<Disclosure, String> {
    let salt = hash(&d.salt, "disclosure.salt")?;
    let commitment = [0; 32];
    Ok(Disclosure { commitment, salt, tag: d.tag, author: d.author, field: d.field, bytes: d.text })
}

// ---- errors ----

/// A refusal, in an answer or in a status.
pub(crate) fn refused_out(error: &NodeError) -> v1::Refused {
    let (code, message, next) = error.parts();
    v1::Refused { code: code.into(), message: message.into(), next: next.into() }
}

pub(crate) fn refused_in(refused: v1::Refused) -> NodeError {
    let v1::Refused { code, message, next } = refused;
    NodeError::Refused { code, message, next }
}

/// The status that carries an error.
pub(crate) fn status(error: &NodeError) -> Status {
    let code = match error {
        NodeError::Refused { .. } => Code::FailedPrecondition,
        NodeError::World { .. } => Code::Unavailable,
        NodeError::NotFound { .. } => Code::NotFound,
        NodeError::Corrupt { .. } => Code::DataLoss,
    };
    let refused = refused_out(error);
    let message = refused.message.clone();
    Status::with_details(code, message, refused.encode_to_vec().into())
}

/// What a request has wrong with it before it means anything.
pub(crate) fn malformed(why: String) -> Status {
    Status::invalid_argument(why)
}

/// The error that a status carries, or what the transport's own statuses mean here. `node`
/// is the address asked.
pub(crate) fn error(status: &Status, node: &str) -> NodeError {
    let ours = v1::Refused::decode(status.details()).ok().filter(|r| !r.code.is_empty());
    let message = status.message().to_owned();
    match (status.code(), ours) {
        (Code::FailedPrecondition, Some(refused)) => refused_in(refused),
        (Code::NotFound, Some(v1::Refused { code, message, next })) => {
            NodeError::NotFound { code, message, next }
        }
        (Code::DataLoss, Some(v1::Refused { code, message, next })) => {
            NodeError::Corrupt { code, message, next }
        }
        (Code::Unavailable, Some(v1::Refused { code, message, next })) => {
            world(code, message, next)
        }
        // The transport's bound on a message.
        (Code::OutOfRange, _) => NodeError::Refused {
            code: "too-large".into(),
            message: format!("the message is over the node's size limit: {message}"),
            next: "split it into several statements".into(),
        },
        (Code::InvalidArgument, _) => NodeError::Refused {
            code: "malformed".into(),
            message,
            next: "use a client of this version".into(),
        },
        (Code::Unimplemented, _) => {
            let message = format!("{node} does not know this call");
            world("other-version", message, "use programs of one version")
        }
        (Code::ResourceExhausted, _) => {
            let message = format!("{node} has too much to do: {message}");
            world("node-busy", message, "try again in a while")
        }
        (Code::Cancelled | Code::DeadlineExceeded, _) => world(
            "no-answer",
            format!("{node} did not answer in time"),
            "try again with the same bytes: a statement is recorded once at most",
        ),
        _ => away(node, &message),
    }
}

/// Nobody answers there, or the connection broke.
pub(crate) fn away(node: &str, why: &str) -> NodeError {
    // The one case in which it is certain; the transport has no code for it.
    let next = if why.contains("tcp connect error") {
        "check the address and that the node runs; nothing was sent"
    } else {
        "check that the node runs; a statement that was on its way may be recorded: look with \
         `subak log` before you repeat it (the same bytes are recorded once at most)"
    };
    world("node-away", format!("the node {node} is away: {why}"), next)
}

/// What a node sent that it should not have: kept apart from failures of the network.
pub(crate) fn lie(node: &str, what: &str) -> NodeError {
    let what = format!("the node {node} sent what does not hold: {what}");
    corrupt(what, "believe it nothing; keep what it sent, and ask another node or its operator")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::not_found;

    #[test]
    fn every_error_comes_back_as_it_was() {
        let refused = NodeError::Refused {
            code: "expired".into(),
            message: "its time has passed: 7".into(),
            next: "sign it again".into(),
        };
        for sent in [
            refused,
            world("disk-full", "the disk is full", "make room"),
            not_found("no such ledger", "look again"),
            corrupt("entry 7", "audit it"),
        ] {
            assert_eq!(error(&status(&sent), "http://here"), sent);
        }
    }

    #[test]
    fn an_entry_of_impossible_size_is_not_taken() {
        let entry = |leaf, envelope| v1::Entry {
            seq: 7,
            leaf: vec![0; leaf].into(),
            envelope: vec![0; envelope].into(),
        };
        assert_eq!(entry_in(entry(LEAF_LEN, MAX_ENVELOPE)).map(|raw| raw.seq), Ok(7));
        for (leaf, envelope) in [(LEAF_LEN, MAX_ENVELOPE + 1), (LEAF_LEN + 1, 100), (0, 100)] {
            let found = entry_in(entry(leaf, envelope)).expect_err("it is no entry");
            assert!(found.contains("entry 7") && found.contains("expected"), "{found}");
        }
    }

    #[test]
    fn a_transport_that_fails_is_the_world() {
        for code in [Code::Unavailable, Code::Unknown, Code::Internal, Code::DeadlineExceeded] {
            let found = error(&Status::new(code, "tcp connect error"), "http://here");
            let NodeError::World { message, next, .. } = found else { panic!("{found:?}") };
            assert!(message.contains("http://here") && !next.is_empty());
        }
    }
}
