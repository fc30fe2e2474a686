//! Refusals of income, settlements, write-offs, invoices and what is sent.

use super::{Row, row};
use crate::kit::*;
use subak_ledger::{
    book::types::MAX_MONEY,
    reject::{Code, Reject},
};
use subak_proto::v1::{self, event::Kind};

pub fn gift(minor: u64, bank: &str) -> Kind {
    let amount = Some(v1::Amount { currency: EUR.into(), minor });
    let (payer, bank) = ("phyle-b".into(), bank.into());
    Kind::IncomeRecord(v1::IncomeRecord { payer, amount, bank, note: vec![] })
}

/// An agreement under which 100.00 are due and open.
pub fn owed() -> (World, World, [u8; 32]) {
    let (mut payer, mut commons, agreement) = agreed();
    let entry = payer.earn(1, 100_000);
    commons.take(&payer, entry, agreement).unwrap();
    (payer, commons, agreement)
}

fn received(alter: fn(&mut v1::SettlementReceived)) -> Reject {
    let (_, mut commons, agreement) = owed();
    let (agreement, bank) = (agreement.to_vec(), "bank:1".into());
    let mut s = v1::SettlementReceived { agreement, minor: 10_000, bank, ..Default::default() };
    alter(&mut s);
    commons.refusal("sam", vec![Kind::SettlementReceived(s)])
}

fn sent(alter: fn(&mut v1::SettlementSent)) -> Reject {
    let (mut payer, _, agreement) = owed();
    let (agreement, bank) = (agreement.to_vec(), "bank:1".into());
    let mut s = v1::SettlementSent { agreement, minor: 10_000, bank, ..Default::default() };
    alter(&mut s);
    payer.refusal("sam", vec![Kind::SettlementSent(s)])
}

#[allow(clippy::unnecessary_wraps)] // as the message has it
fn fee(minor: u64, bearer: &str) -> Option<v1::Fee> {
    Some(v1::Fee { minor, bearer: bearer.into() })
}

fn item(income: u64, minor: u64) -> Vec<v1::SettleItem> {
    vec![v1::SettleItem { income, minor }]
}

fn void(number: u64) -> Kind {
    Kind::InvoiceVoid(v1::InvoiceVoid { series: "inv".into(), number })
}

fn reverse(number: u64, net: u64, tax: u64) -> Kind {
    Kind::RevenueReverse(v1::RevenueReverse {
        invoice: Some(v1::Invoice { series: "inv".into(), number, line: 0 }),
        net,
        tax,
        cause: v1::Cause::Refund as i32,
        ..Default::default()
    })
}

fn recorded(alter: fn(&mut v1::RevenueRecord)) -> Reject {
    let mut payer = World::phyle("phyle-a");
    payer.earn(1, 100_000);
    payer.say("sam", vec![void(2)]).unwrap();
    let mut record = payer.revenue(1, 100_000);
    alter(&mut record);
    payer.refusal("sam", vec![Kind::RevenueRecord(record)])
}

fn line(record: &mut v1::RevenueRecord, number: u64, line: u32) {
    record.invoice = Some(v1::Invoice { series: "inv".into(), number, line });
}

pub const ROWS: &[Row] = &[
    row(Code::AmountOutOfRange, "an income of nothing", "amount: expected 1 to", || {
        two_contributors().refusal("sam", vec![gift(0, "bank:1")])
    }),
    row(Code::LimitExceeded, "more income than a ledger takes in", "income in EUR", || {
        let mut commons = two_contributors();
        commons.say("sam", vec![gift(MAX_MONEY, "bank:1")]).unwrap();
        commons.refusal("sam", vec![gift(1, "bank:2")])
    }),
    row(Code::LimitExceeded, "more revenue than a ledger takes in", "revenue in EUR", || {
        let mut payer = World::phyle("phyle-a");
        payer.earn(1, MAX_MONEY);
        let record = payer.revenue(2, 1);
        payer.refusal("sam", vec![Kind::RevenueRecord(record)])
    }),
    row(Code::LimitExceeded, "more cash than a ledger takes in", "cash in EUR", || {
        let (_, mut commons, agreement) = owed();
        commons.settle(agreement, MAX_MONEY).unwrap();
        let (agreement, bank) = (agreement.to_vec(), "bank:x".into());
        let s = v1::SettlementReceived { agreement, minor: 1, bank, ..Default::default() };
        commons.refusal("sam", vec![Kind::SettlementReceived(s)])
    }),
    row(Code::BankReferenceUsed, "one transfer twice", "bank:1", || {
        let mut commons = two_contributors();
        commons.say("sam", vec![gift(1, "bank:1")]).unwrap();
        commons.refusal("sam", vec![gift(1, "bank:1")])
    }),
    row(Code::UnknownIncome, "an income that is not there", "income 9", || {
        received(|s| s.item = item(9, 1))
    }),
    row(Code::UnknownIncome, "a gift settled under an agreement", "income 2", || {
        let (_, mut commons, agreement) = owed();
        commons.gift(500);
        let bank = "bank:x".into();
        let (agreement, item) = (agreement.to_vec(), item(2, 1));
        let s = v1::SettlementReceived { agreement, minor: 10, bank, item, fee: None };
        commons.refusal("sam", vec![Kind::SettlementReceived(s)])
    }),
    row(Code::SettlesTooMuch, "an item beyond what is open", "income 1: 10001 of 10000", || {
        received(|s| (s.minor, s.item) = (10_001, item(1, 10_001)))
    }),
    row(Code::SettlesTooMuch, "items beyond the cash", "items of 10001, cash of 10000", || {
        received(|s| s.item = item(1, 10_001))
    }),
    row(Code::FeeTooLarge, "a fee that takes it all", "fee 10000 of 10000", || {
        received(|s| s.fee = fee(10_000, "phyle-a"))
    }),
    row(Code::FeeTooLarge, "a bearer who is owed less", "association has less than 1", || {
        received(|s| s.fee = fee(1, "association"))
    }),
    row(Code::FeeBearer, "a person who has no part in it", "ana has no part", || {
        received(|s| s.fee = fee(1, "ana"))
    }),
    row(Code::PrincipalStays, "a trust that bears a fee", "trust", || {
        received(|s| s.fee = fee(1, "trust"))
    }),
    row(Code::NothingOpen, "a write-off of what is settled", "income 1", || {
        let mut commons = two_contributors();
        commons.gift(100);
        commons.refused_decree(Kind::WriteOff(v1::WriteOff { income: vec![1] }))
    }),
    row(Code::InvoiceTaken, "one invoice twice", "inv/1", || recorded(|_| ())),
    row(Code::InvoiceTaken, "a void number", "inv/2", || recorded(|r| line(r, 2, 0))),
    row(Code::InvoiceTaken, "a line of what is recorded whole", "inv/1.3", || {
        recorded(|r| line(r, 1, 3))
    }),
    row(Code::InvoiceTaken, "a void of what carries revenue", "inv/1", || {
        let mut payer = World::phyle("phyle-a");
        payer.earn(1, 100);
        payer.refusal("sam", vec![void(1)])
    }),
    row(Code::UnknownInvoice, "a refund of no invoice", "inv/7", || {
        World::phyle("phyle-a").refusal("sam", vec![reverse(7, 1, 0)])
    }),
    row(Code::ReversesTooMuch, "a cent beyond the invoice", "net 101 of 100", || {
        let mut payer = World::phyle("phyle-a");
        payer.earn(1, 100);
        payer.refusal("sam", vec![reverse(1, 101, 0)])
    }),
    row(Code::ReversesTooMuch, "tax that was never charged", "tax 1 of 0", || {
        let mut payer = World::phyle("phyle-a");
        payer.earn(1, 100);
        payer.refusal("sam", vec![reverse(1, 0, 1)])
    }),
    row(Code::SendsTooMuch, "a cent beyond what is due", "1 more than is due", || {
        sent(|s| s.minor = 10_001)
    }),
    row(Code::SendsTooMuch, "an item beyond its number", "number 1: 10001 of 10000", || {
        sent(|s| (s.minor, s.item) = (10_001, item(1, 10_001)))
    }),
    row(Code::UnknownIncome, "a number that never fell due", "number 2", || {
        sent(|s| s.item = item(2, 1))
    }),
];
