//! The value equation: the rules that a commons gives itself, as checked data.
//!
//! Owns the typed form, its limits, the identity of a bucket, and the proof that an
//! equation reproduces its own worked examples with the very code that splits real
//! income. Leaves out the TOML that people write (`equation_toml`) and adoption
//! (`lots`).

use super::{
    split::{self, Bucket},
    types::*,
};
use crate::reject::{Code, Outcome, Reject, require};
use prost::Message as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use subak_proto::v1;

/// Identity of a bucket: BLAKE3 over its name and `to`.
pub type BucketId = crate::log::Hash;

/// Most maintainers that a validation may need.
pub const MAX_VALIDATORS: u32 = 9;
/// Longest delay or notice, in days: ten years.
pub const MAX_DAYS: u32 = 3_660;
/// Most points per unit of a kind.
pub const MAX_RATE: u64 = 1_000_000;
/// Most entries of a table of weights: fifty years of months.
pub const MAX_TABLE: usize = 600;
/// All weights are below this.
pub const WEIGHT_END: u32 = 65_536;
/// Most thousandths of a unit in one piece of an example's work.
pub const MAX_EXAMPLE_QUANTITY: u64 = 1_000_000_000;
/// The month of an example's income: ages of work are below it, so they have room.
pub const EXAMPLE_MONTH: u32 = 1_000;

/// A checked equation. Agents are still handles: an equation is checked against
/// the agents of a ledger when it is adopted there.
#[derive(Debug, Clone, PartialEq)]
pub struct Equation {
    /// What it is called.
    pub name: Handle,
    /// 1, then one more with each adoption.
    pub version: u32,
    /// Points per unit of a kind.
    pub rates: BTreeMap<Arc<Handle>, u64>,
    /// In the order of the split; the last takes what remains.
    pub buckets: Vec<EquationBucket>,
    /// Maintainers a validation needs.
    pub validators: u32,
    /// Days from validation until points count.
    pub maturity_days: u32,
    /// Days until the next equation, or a release of held lots, takes effect.
    pub notice_days: u32,
    /// Days from an attested claim to an unclaimed agent until the first payout.
    pub claim_delay_days: u32,
    /// Days until anyone may send a held lot to the fallback.
    pub held_days: u32,
    /// Who then receives it.
    pub fallback: Option<Handle>,
    /// The least that a payout line pays, by currency.
    pub minimum_payout: BTreeMap<Currency, Minor>,
    /// As adopted, byte for byte reproducible.
    pub wire: v1::Equation,
}

/// A bucket as an equation names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EquationBucket {
    /// What it is called.
    pub name: Handle,
    /// Parts per million.
    pub share: u32,
    /// Whose it is.
    pub to: Whose,
}

/// Whose a bucket is, in an equation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// One agent's, whatever happens.
    Agent(Handle),
    /// Those who contributed.
    Contributors(Filter),
}

/// Which contributions count in a bucket, and how much at which age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Empty: every kind.
    pub kinds: BTreeSet<Handle>,
    /// Empty: every stream.
    pub streams: BTreeSet<Stream>,
    /// Only contributions attested as unpaid.
    pub unpaid_only: bool,
    /// By age in months; the last repeats for ever. Never empty, never all zero.
    pub weight: Vec<u32>,
}

impl Filter {
    /// Whether work of this kind and stream counts here, if it need not be unpaid or is.
    pub fn matches(&self, kind: &Handle, stream: Stream) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(kind))
            && (self.streams.is_empty() || self.streams.contains(&stream))
    }
}

/// One piece of an example's work, checked.
struct Work {
    agent: Handle,
    kind: Handle,
    stream: Stream,
    remuneration: Remuneration,
    points: Points,
    age_months: u32,
}

/// A bucket of a ledger: its definition with the agent resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketDef {
    /// What it is called.
    pub name: Handle,
    /// Its identity.
    pub id: BucketId,
    /// Whose it is.
    pub to: To,
}

/// Whose a bucket of a ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// One agent's.
    Agent(AgentId),
    /// Those who contributed.
    Contributors(Filter),
}

impl EquationBucket {
    /// BLAKE3 derive_key over the canonical encoding with share 0: two buckets of the
    /// same name and definition are one bucket, whatever their share.
    pub fn id(&self) -> BucketId {
        let to = match &self.to {
            Whose::Agent(h) => v1::bucket::To::Agent(h.to_string()),
            Whose::Contributors(f) => v1::bucket::To::Contributors(f.to_wire()),
        };
        let wire = v1::Bucket { name: self.name.to_string(), share: 0, to: Some(to) };
        blake3::derive_key("subak 2026 bucket identity v1", &wire.encode_to_vec())
    }

    /// The bucket in a ledger where `agent` finds handles.
    pub fn resolve(&self, agent: impl Fn(&Handle) -> Outcome<AgentId>) -> Outcome<BucketDef> {
        let to = match &self.to {
            Whose::Agent(h) => To::Agent(agent(h)?),
            Whose::Contributors(f) => To::Contributors(f.clone()),
        };
        Ok(BucketDef { name: self.name.clone(), id: self.id(), to })
    }
}

impl Filter {
    fn to_wire(&self) -> v1::Contributors {
        v1::Contributors {
            kind: self.kinds.iter().map(ToString::to_string).collect(),
            stream: self.streams.iter().map(|s| s.to_wire()).collect(),
            unpaid_only: self.unpaid_only,
            weight: self.weight.clone(),
        }
    }

    fn from_wire(wire: &v1::Contributors, name: &Handle) -> Outcome<Self> {
        let kinds: Vec<Handle> =
            wire.kind.iter().map(|k| Handle::new(k)).collect::<Outcome<_>>()?;
        let streams: Vec<Stream> =
            wire.stream.iter().map(|s| Stream::from_wire(*s)).collect::<Outcome<_>>()?;
        ascending(&kinds, "kinds of a bucket")?;
        ascending(&streams, "streams of a bucket")?;
        let w = &wire.weight;
        invalid((1..=MAX_TABLE).contains(&w.len()), || {
            format!("bucket {name}: 1 to {MAX_TABLE} weights by month, found {}", w.len())
        })?;
        invalid(w.iter().any(|x| *x > 0) && w.iter().all(|x| *x < WEIGHT_END), || {
            format!("bucket {name}: weights from 0 to 65535, at least one above 0")
        })?;
        Ok(Self {
            kinds: kinds.into_iter().collect(),
            streams: streams.into_iter().collect(),
            unpaid_only: wire.unpaid_only,
            weight: w.clone(),
        })
    }
}

fn invalid(holds: bool, detail: impl FnOnce() -> String) -> Outcome {
    require(holds, Code::EquationInvalid, detail)
}

/// Strictly ascending: one order, no repetition.
pub fn ascending<T: Ord>(items: &[T], what: &str) -> Outcome {
    require(items.windows(2).all(|w| w[0] < w[1]), Code::Malformed, || {
        format!("{what}: expected ascending and each once")
    })
}

impl Equation {
    /// Checks form and limits, and that the worked examples come out.
    pub fn from_wire(wire: v1::Equation) -> Outcome<Self> {
        let equation = Self::read(wire)?;
        for (n, example) in equation.wire.example.iter().enumerate() {
            equation.check_example(example, n + 1)?;
        }
        Ok(equation)
    }

    /// Checks form and limits only: for tools that work out the amounts of an example.
    pub fn read(wire: v1::Equation) -> Outcome<Self> {
        let name = Handle::new(&wire.name)?;
        invalid(wire.version > 0, || "the version begins at 1, found 0".into())?;
        let rate_kinds: Vec<Handle> =
            wire.rate.iter().map(|r| Handle::new(&r.kind)).collect::<Outcome<_>>()?;
        ascending(&rate_kinds, "rates")?;
        invalid((1..=100).contains(&rate_kinds.len()), || {
            format!("1 to 100 rates, found {}", rate_kinds.len())
        })?;
        for rate in &wire.rate {
            invalid((1..=MAX_RATE).contains(&rate.points), || {
                format!(
                    "rate of {}: 1 to {MAX_RATE} points per unit, found {}",
                    rate.kind, rate.points
                )
            })?;
        }
        invalid((1..=32).contains(&wire.bucket.len()), || {
            format!("1 to 32 buckets, found {}", wire.bucket.len())
        })?;
        let buckets: Vec<EquationBucket> =
            wire.bucket.iter().map(bucket_from_wire).collect::<Outcome<_>>()?;
        let names: BTreeSet<&Handle> = buckets.iter().map(|b| &b.name).collect();
        invalid(names.len() == buckets.len(), || "two buckets have the same name".into())?;
        let sum: u64 = buckets.iter().map(|b| u64::from(b.share)).sum();
        invalid(sum == 1_000_000, || {
            format!("shares: expected a sum of exactly 1000000 ppm (100 %), found {sum} ppm")
        })?;
        for bucket in &buckets {
            if let Whose::Contributors(f) = &bucket.to {
                let unknown = f.kinds.iter().find(|k| !rate_kinds.contains(k));
                invalid(unknown.is_none(), || {
                    format!(
                        "bucket {}: kind {} has no rate",
                        bucket.name,
                        unknown.expect("just found")
                    )
                })?;
            }
        }
        invalid((1..=MAX_VALIDATORS).contains(&wire.validators), || {
            format!("validators: expected 1 to {MAX_VALIDATORS}, found {}", wire.validators)
        })?;
        for (days, field) in [
            (wire.maturity_days, "maturity_days"),
            (wire.notice_days, "notice_days"),
            (wire.claim_delay_days, "claim_delay_days"),
            (wire.held_days, "held_days"),
        ] {
            invalid(days <= MAX_DAYS, || {
                format!("{field}: expected 0 to {MAX_DAYS}, found {days}")
            })?;
        }
        let fallback =
            if wire.fallback.is_empty() { None } else { Some(Handle::new(&wire.fallback)?) };
        let minimum: Vec<(Currency, Minor)> = wire
            .minimum_payout
            .iter()
            .map(|a| Ok((Currency::new(&a.currency)?, amount(a.minor, "minimum_payout")?)))
            .collect::<Outcome<_>>()?;
        ascending(&minimum.iter().map(|m| m.0).collect::<Vec<_>>(), "minimum_payout")?;
        invalid(wire.example.len() <= 20, || {
            format!("at most 20 examples, found {}", wire.example.len())
        })?;
        Ok(Self {
            name,
            version: wire.version,
            rates: rate_kinds
                .into_iter()
                .map(Arc::new)
                .zip(wire.rate.iter().map(|r| r.points))
                .collect(),
            buckets,
            validators: wire.validators,
            maturity_days: wire.maturity_days,
            notice_days: wire.notice_days,
            claim_delay_days: wire.claim_delay_days,
            held_days: wire.held_days,
            fallback,
            minimum_payout: minimum.into_iter().collect(),
            wire,
        })
    }

    /// The shares, in order.
    pub fn shares(&self) -> Vec<u32> {
        self.buckets.iter().map(|b| b.share).collect()
    }

    /// What the example's work and income give, by agent: computed as real income is.
    pub fn work_out(&self, example: &v1::Example) -> Outcome<BTreeMap<Handle, i128>> {
        let income = example.income.as_ref().ok_or_else(|| {
            Reject::new(Code::Malformed, "example: expected an income, found none")
        })?;
        let currency = Currency::new(&income.currency)?;
        let minor = amount(income.minor, "example: income")?;
        let work: Vec<Work> =
            example.work.iter().map(|w| self.read_work(w)).collect::<Outcome<_>>()?;
        let points = work.iter().try_fold(0_u64, |sum, w| sum.checked_add(w.points));
        invalid(points.is_some_and(|p| p <= split::MAX_POINTS), || {
            format!("example: more than {} thousandths of a point in all", split::MAX_POINTS)
        })?;
        let mut ids: BTreeMap<Handle, AgentId> = BTreeMap::new();
        let owners = self.buckets.iter().filter_map(|b| match &b.to {
            Whose::Agent(h) => Some(h),
            Whose::Contributors(_) => None,
        });
        for handle in work.iter().map(|w| &w.agent).chain(owners) {
            let n = u32::try_from(ids.len()).expect("an event is limited in size");
            ids.entry(handle.clone()).or_insert(AgentId(n));
        }
        let id =
            |h: &Handle| Ok(*ids.get(h).expect("every agent of buckets and work was numbered"));
        let mut amounts: BTreeMap<Handle, Fixed> = BTreeMap::new();
        for (spec, part) in self.buckets.iter().zip(split::parts(minor, &self.shares())) {
            let mut bucket = Bucket::new(Arc::new(spec.resolve(id)?));
            if let Whose::Contributors(filter) = &spec.to {
                for w in &work {
                    let unpaid = w.remuneration == Remuneration::Unpaid;
                    if filter.matches(&w.kind, w.stream) && (unpaid || !filter.unpaid_only) {
                        bucket.count(ids[&w.agent], EXAMPLE_MONTH - w.age_months, w.points);
                    }
                }
                if bucket.weight(EXAMPLE_MONTH) == 0 {
                    continue; // held: accrues to nobody
                }
            }
            bucket.spread(currency, EXAMPLE_MONTH, part, minor);
            for (handle, id) in &ids {
                *amounts.entry(handle.clone()).or_insert(0) += bucket.accrued(*id, currency);
            }
        }
        Ok(amounts.into_iter().map(|(h, v)| (h, whole(v))).filter(|(_, v)| *v != 0).collect())
    }

    fn read_work(&self, wire: &v1::ExampleWork) -> Outcome<Work> {
        let kind = Handle::new(&wire.kind)?;
        let rate = self.rates.get(&kind).copied().ok_or_else(|| {
            Reject::new(Code::EquationInvalid, format!("example: kind {kind} has no rate"))
        })?;
        invalid((1..=MAX_EXAMPLE_QUANTITY).contains(&wire.quantity), || {
            format!(
                "example: quantities from 0.001 to 1000000, found {} thousandths",
                wire.quantity
            )
        })?;
        invalid(wire.age_months < EXAMPLE_MONTH, || {
            format!("example: ages under {EXAMPLE_MONTH} months, found {}", wire.age_months)
        })?;
        Ok(Work {
            agent: Handle::new(&wire.agent)?,
            kind,
            stream: Stream::from_wire(wire.stream)?,
            remuneration: Remuneration::from_wire(wire.remuneration)?,
            points: wire.quantity * rate, // at most 10^9 times 10^6
            age_months: wire.age_months,
        })
    }

    fn check_example(&self, example: &v1::Example, number: usize) -> Outcome {
        let found = self.work_out(example)?;
        let stated: Vec<Handle> =
            example.amount.iter().map(|a| Handle::new(&a.agent)).collect::<Outcome<_>>()?;
        ascending(&stated, "amounts of an example")?;
        let stated: BTreeMap<Handle, i128> =
            stated.into_iter().zip(example.amount.iter().map(|a| i128::from(a.minor))).collect();
        require(found == stated, Code::ExampleFails, || {
            let show = |m: &BTreeMap<Handle, i128>| {
                m.iter().map(|(h, v)| format!("{h} {v}")).collect::<Vec<_>>().join(", ")
            };
            format!("example {number}: stated {}; computed {}", show(&stated), show(&found))
        })
    }
}

fn bucket_from_wire(wire: &v1::Bucket) -> Outcome<EquationBucket> {
    let name = Handle::new(&wire.name)?;
    invalid((1..=1_000_000).contains(&wire.share), || {
        format!("bucket {name}: a share of 1 to 1000000 ppm, found {}", wire.share)
    })?;
    let to = match &wire.to {
        Some(v1::bucket::To::Agent(h)) => Whose::Agent(Handle::new(h)?),
        Some(v1::bucket::To::Contributors(c)) => Whose::Contributors(Filter::from_wire(c, &name)?),
        None => return Err(Reject::new(Code::Malformed, format!("bucket {name}: `to` is absent"))),
    };
    Ok(EquationBucket { name, share: wire.share, to })
}
