//! Value equations coming into force, and what is held because nobody had points.
//!
//! Owns adoption with its notice, and the lots of income that met no points: their release
//! and their fallback. Guarantees that an equation changes the split of no income before it,
//! and that a held lot is spread once. Leaves out the form of an equation (`equation`) and
//! the spreading itself (`split`).

use super::{
    accounts::Account,
    equation::{BucketDef, BucketId, Equation, EquationBucket, To, Whose},
    split::Bucket,
    state::{Lies, State, Step, Task},
    types::*,
};
use crate::reject::{Code, Outcome, Reject, require};
use std::{collections::BTreeSet, sync::Arc};

impl State {
    /// Every agent that an equation names is an agent here.
    pub(super) fn check_equation_agents(&self, equation: &Equation) -> Outcome {
        for bucket in &equation.buckets {
            if let Whose::Agent(handle) = &bucket.to {
                self.find(handle)?;
            }
        }
        equation.fallback.iter().try_for_each(|h| {
            let kind = self.agent(self.find(h)?).kind;
            require(kind != AgentKind::Person, Code::WrongAgentKind, || {
                format!("fallback {h}: expected an institution, found a person")
            })
        })
    }

    /// EquationAdopt.
    pub(super) fn adopt(&mut self, step: &Step<'_>, equation: &Arc<Equation>) -> Outcome {
        let last = self.equations.last().map_or(0, |(_, e)| e.version);
        require(equation.version == last + 1, Code::EquationVersion, || {
            format!("expected version {}, found {}", last + 1, equation.version)
        })?;
        self.check_equation_agents(equation)?;
        // The notice is the predecessor's: that of the last adopted, so that versions
        // come into force in their order.
        let (previous_at, previous) = self.equations.last().expect("the genesis adopted the first");
        let from = (step.at + u64::from(previous.notice_days) * DAY_MS).max(*previous_at);
        self.equations.push_back((from, equation.clone()));
        if from <= step.at {
            self.put_in_force(equation.clone());
        } else {
            self.schedule(from, step.entry, Task::InForce(equation.clone()));
        }
        Ok(())
    }

    /// An equation comes into force: new buckets begin with the points there are.
    pub(super) fn put_in_force(&mut self, equation: Arc<Equation>) {
        for spec in &equation.buckets {
            self.ensure_bucket(spec);
        }
        self.equation = Some(equation);
    }

    fn ensure_bucket(&mut self, spec: &EquationBucket) -> BucketId {
        let def: BucketDef = spec
            .resolve(|h| self.find(h))
            .expect("an adopted equation names agents of this ledger");
        let id = def.id;
        if self.buckets.contains_key(&id) {
            return id;
        }
        let mut bucket = Bucket::new(Arc::new(def));
        if let To::Contributors(filter) = bucket.def.to.clone() {
            for c in self.contributions.values() {
                for part in &c.parts {
                    if let Some(s) = &part.standing
                        && filter.matches(&c.kind, c.stream)
                    {
                        bucket.count(part.agent, c.month(), s.counted_in(filter.unpaid_only));
                    }
                }
            }
        }
        self.buckets.insert(id, bucket);
        id
    }

    /// HeldRelease: after notice, to whoever then has points.
    pub(super) fn release_held(
        &mut self,
        step: &mut Step<'_>,
        incomes: &[u64],
        bucket: &Handle,
    ) -> Outcome {
        let mut ids = Vec::new();
        for number in incomes {
            ids.push(self.lot(*number, bucket)?);
        }
        require(ids.windows(2).all(|w| w[0] == w[1]), Code::UnknownLot, || {
            format!("bucket {bucket} is not the same one for all these incomes")
        })?;
        let task = Task::Release { incomes: Arc::new(incomes.to_vec()), bucket: ids[0] };
        let notice = u64::from(self.equation().notice_days) * DAY_MS;
        if notice == 0 {
            self.run_release(step, incomes, ids[0]);
        } else {
            self.schedule(step.at + notice, step.entry, task);
        }
        Ok(())
    }

    /// The release takes effect; without points, or room for them, the lots stay held.
    pub(super) fn run_release(&mut self, step: &mut Step<'_>, incomes: &[u64], bucket: BucketId) {
        let mut currencies = BTreeSet::new();
        for number in incomes {
            let b = &self.buckets[&bucket];
            let fits = b.weight(month_of_day(day_of(step.at))) > 0 && b.has_room();
            if fits && self.held.contains(&(*number, bucket)) {
                currencies.insert(self.spread_lot(step, *number, bucket, bucket));
            }
        }
        for currency in currencies {
            self.rebalance(step, currency, None);
        }
    }

    /// HeldFallback: after its date anyone sends a lot to the fallback.
    pub(super) fn send_to_fallback(
        &mut self,
        step: &mut Step<'_>,
        number: u64,
        bucket: &Handle,
    ) -> Outcome {
        let id = self.lot(number, bucket)?;
        let income = self.income(number)?.clone();
        let fallback = income.equation.fallback.clone().ok_or_else(|| {
            Reject::new(Code::NoFallback, format!("equation version {}", income.equation.version))
        })?;
        let from = income.recorded_at + u64::from(income.equation.held_days) * DAY_MS;
        require(step.at >= from, Code::TooEarly, || {
            format!("income {number} may go to {fallback} from day {} on", day_of(from))
        })?;
        let spec = EquationBucket { name: bucket.clone(), share: 1, to: Whose::Agent(fallback) };
        let target = self.ensure_bucket(&spec);
        let currency = self.spread_lot(step, number, id, target);
        self.rebalance(step, currency, None);
        Ok(())
    }

    fn lot(&self, number: u64, bucket: &Handle) -> Outcome<BucketId> {
        let income = self.income(number)?;
        income
            .equation
            .buckets
            .iter()
            .find(|b| b.name == *bucket)
            .map(EquationBucket::id)
            .filter(|id| self.held.contains(&(number, *id)))
            .ok_or_else(|| {
                Reject::new(Code::UnknownLot, format!("income {number}, bucket {bucket}"))
            })
    }

    /// A held lot becomes a point of `target`, with its income's reversals and
    /// settlements as they are. Returns the currency; the caller rebalances.
    fn spread_lot(
        &mut self,
        step: &mut Step<'_>,
        number: u64,
        from: BucketId,
        target: BucketId,
    ) -> Currency {
        let mut income = self.incomes[number_index(number)].as_ref().clone();
        let month = month_of_day(day_of(step.at));
        let share = income
            .shares
            .iter_mut()
            .find(|s| s.bucket == from)
            .expect("a held lot is a share of its income");
        let bucket = self.buckets.get_mut(&target).expect("the caller found or made it");
        let def = bucket.def.clone();
        let (mut point, mut moved) =
            bucket.spread(income.currency, month, share.part, income.amount);
        let reversed = income.refunded + income.written_off;
        let back = bucket.reverse_to(income.currency, &mut point, reversed, share.reversed);
        bucket.settle_to(income.currency, &mut point, income.settled);
        moved.accrued += back.accrued;
        moved.carry += back.carry;
        let held = share.part - share.reversed;
        share.lies = Lies::Spread(target, point);
        share.spread_at = Some((step.entry, step.event));
        self.held.remove(&(number, from));
        let control = self.bucket_account(&def);
        self.post(
            step,
            income.currency,
            &[
                (Account::Held(from), held),
                (control, -moved.accrued),
                (Account::Carry(target), -moved.carry),
            ],
        );
        let currency = income.currency;
        self.incomes.set(number_index(number), Arc::new(income));
        currency
    }
}

/// The place of an income's number in the list.
pub(super) fn number_index(number: u64) -> usize {
    usize::try_from(number - 1).expect("incomes are numbered from 1 and fit in memory")
}
