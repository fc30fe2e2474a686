//! A contribution in few bytes, for the table that keeps all of them.
//!
//! Owns the form: numbers as varints, times and entries as what they are more than the ones before them,
//! a kind as its number. Guarantees that what is read is what was written, whatever its numbers are.
//! It never leaves the process and nothing is signed over it, so that it may change with any
//! version. Leaves out where the bytes lie ([`super::contributions`]).

use super::{
    state::{Contribution, Pending, Reading, Standing, WorkPart},
    types::*,
    votes::Votes,
};
use prost::encoding::encode_varint;
use std::sync::Arc;

/// Appends the contribution at a place; `kind` is the number of its kind.
pub(super) fn write(out: &mut Vec<u8>, place: Ref, kind: u64, c: &Contribution) {
    let reference = c.reference.as_str();
    number(out, reference.len() as u64);
    out.extend_from_slice(reference.as_bytes());
    number(out, kind);
    out.push(c.stream as u8);
    out.push(c.closed.map_or(0, |reason| 1 + reason as u8));
    number(out, c.worked_on.into());
    number(out, c.rate.into());
    number(out, c.claimant.0.into());
    number(out, c.claimed_at);
    number(out, c.said.wrapping_sub(place.entry));
    number(out, c.parts.len() as u64);
    for part in &c.parts {
        write_part(out, c.claimed_at, part);
    }
}

fn write_part(out: &mut Vec<u8>, claimed_at: u64, part: &WorkPart) {
    number(out, part.agent.0.into());
    number(out, part.claimed);
    number(out, part.generation.into());
    match part.pending.as_deref() {
        None => out.push(0),
        Some(Pending { reading, votes }) => {
            out.push(reading.remuneration.map_or(1, |paid| 2 + paid as u8));
            number(out, reading.quantity);
            write_votes(out, votes);
        }
    }
    match &part.standing {
        None => out.push(0),
        Some(s) => {
            out.push(1 + s.remuneration as u8);
            number(out, s.quantity);
            write_votes(out, &s.votes);
            number(out, s.since.wrapping_sub(claimed_at));
            number(out, s.counted);
            number(out, s.counted_unpaid);
            number(out, s.maturing);
        }
    }
}

fn write_votes(out: &mut Vec<u8>, votes: &Votes) {
    number(out, votes.len() as u64);
    votes.iter().for_each(|agent| number(out, agent.0.into()));
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    encode_varint(value, out);
}

/// What a contribution says before its parts.
struct Claim<'b> {
    reference: &'b [u8],
    kind: u64,
    stream: Stream,
    closed: Option<RejectReason>,
    worked_on: u32,
    rate: u32,
    claimant: AgentId,
    claimed_at: u64,
    /// Entries after its own.
    said: u64,
    /// How many.
    parts: u64,
}

/// Bytes that this module has written, from the next one to be read on.
pub(super) struct Bytes<'b>(pub(super) &'b [u8]);

impl<'b> Bytes<'b> {
    /// A number. A contribution has twenty, most of one byte: this is what reading it costs.
    #[inline]
    pub(super) fn number(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first().expect("it was written by `number`");
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    fn small(&mut self) -> u32 {
        u32::try_from(self.number()).expect("it was written from 32 bits")
    }

    fn byte(&mut self) -> usize {
        self.slice(1)[0].into()
    }

    /// So many bytes.
    pub(super) fn slice(&mut self, length: usize) -> &'b [u8] {
        let (slice, rest) = self.0.split_at(length);
        self.0 = rest;
        slice
    }

    /// The contribution that was written for this place; `kinds` gives the kind of a number.
    pub(super) fn contribution(
        mut self,
        place: Ref,
        kinds: impl Fn(u64) -> Arc<Handle>,
    ) -> Contribution {
        let claim = self.claim();
        Contribution {
            reference: Reference::kept(str::from_utf8(claim.reference).expect("it was a text")),
            kind: kinds(claim.kind),
            stream: claim.stream,
            worked_on: claim.worked_on,
            rate: claim.rate,
            claimant: claim.claimant,
            claimed_at: claim.claimed_at,
            said: place.entry.wrapping_add(claim.said),
            closed: claim.closed,
            parts: self.parts_of(&claim).collect(),
        }
    }

    /// The parts of that contribution; cheaper than it.
    pub(super) fn parts(mut self) -> impl Iterator<Item = WorkPart> {
        let claim = self.claim();
        self.parts_of(&claim)
    }

    fn parts_of(mut self, claim: &Claim<'_>) -> impl Iterator<Item = WorkPart> + use<'b> {
        let claimed_at = claim.claimed_at;
        (0..claim.parts).map(move |_| self.part(claimed_at))
    }

    fn claim(&mut self) -> Claim<'b> {
        let length = usize::try_from(self.number()).expect("it was the length of a text");
        Claim {
            reference: self.slice(length),
            kind: self.number(),
            stream: Stream::ALL[self.byte()],
            closed: self.byte().checked_sub(1).map(|reason| RejectReason::ALL[reason]),
            worked_on: self.small(),
            rate: self.small(),
            claimant: AgentId(self.small()),
            claimed_at: self.number(),
            said: self.number(),
            parts: self.number(),
        }
    }

    fn part(&mut self, claimed_at: u64) -> WorkPart {
        WorkPart {
            agent: AgentId(self.small()),
            claimed: self.number(),
            generation: self.small(),
            pending: self.pending(),
            standing: self.standing(claimed_at),
        }
    }

    fn pending(&mut self) -> Option<Box<Pending>> {
        let paid = self.byte().checked_sub(1)?;
        let remuneration = paid.checked_sub(1).map(|paid| Remuneration::ALL[paid]);
        let reading = Reading { quantity: self.number(), remuneration };
        Some(Box::new(Pending { reading, votes: self.votes() }))
    }

    fn standing(&mut self, claimed_at: u64) -> Option<Standing> {
        let paid = self.byte().checked_sub(1)?;
        Some(Standing {
            remuneration: Remuneration::ALL[paid],
            quantity: self.number(),
            votes: self.votes(),
            since: claimed_at.wrapping_add(self.number()),
            counted: self.number(),
            counted_unpaid: self.number(),
            maturing: self.number(),
        })
    }

    fn votes(&mut self) -> Votes {
        let mut votes = Votes::default();
        for _ in 0..self.number() {
            votes.push(AgentId(self.small()));
        }
        votes
    }
}
