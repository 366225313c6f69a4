//! Settlements on their way to JavaScript: pushed by any thread, taken in bounded parts.
//!
//! A settlement leaves the queue only as a JavaScript value. If no value can be made of it, it is
//! returned as an error, or stays for the next time.

use std::collections::VecDeque;
use std::sync::Mutex;

use napi::JsString;
use napi::bindgen_prelude::Env;

use super::failure;
use super::outcome;
use super::wake::Waker;
use crate::append::request::Outcome;
use crate::error::{Error, Written};
use crate::mutex::locked;

/// A text of appends is full once it has this many bytes.
const PART_BYTES: usize = 16 << 20;
/// A part ends with the settlement that reaches this many bytes.
const HAND_OVER_BYTES: usize = 64 << 20;

/// The queue of settlements for one JavaScript thread.
pub(super) struct SettlementQueue {
    settled: Mutex<Settled>,
    waker: Waker,
}

/// In the order of delivery: facts of a batch, then its appends, then requests that waited for
/// appends, as the release of a lock.
#[derive(Default)]
struct Settled {
    facts: VecDeque<String>,
    appends: VecDeque<AppendsText>,
    others: VecDeque<Settlement>,
    /// Number of values that are made before one fails. For tests only.
    fails_after: Option<u32>,
}

/// Outcomes of many appends in one text.
///
/// One text for each append would be allocated on one thread and freed on another, and converted
/// and parsed one by one.
#[derive(Default)]
struct AppendsText {
    /// Number and outcome of each append: the content of a JSON array.
    elements: Vec<u8>,
    numbers: Vec<u32>,
}

/// The outcome of another request.
pub(super) struct Settlement {
    pub(super) id: u32,
    pub(super) outcome: String,
    pub(super) text: Option<String>,
}

/// One bounded part of the settlements.
#[derive(Default)]
pub(super) struct HandedOver<'env> {
    /// Facts of batches.
    pub(super) facts: Vec<JsString<'env>>,
    /// A JSON array of alternating numbers and outcomes.
    pub(super) appends: Option<JsString<'env>>,
    /// The numbers in `appends`.
    pub(super) numbers: Vec<u32>,
    /// Number, outcome and text.
    pub(super) others: Vec<(u32, JsString<'env>, Option<JsString<'env>>)>,
}

impl SettlementQueue {
    pub(super) fn new(waker: Waker) -> SettlementQueue {
        SettlementQueue { settled: Mutex::default(), waker }
    }

    pub(super) fn push_facts(&self, facts: String) {
        self.add(|settled| settled.facts.push_back(facts));
    }

    pub(super) fn push_append(&self, number: u32, outcome: &Outcome) {
        self.add(|settled| settled.append(number, outcome));
    }

    pub(super) fn push(&self, settlement: Settlement) {
        let Settlement { id, outcome, text } = settlement;
        let bytes = outcome.len() + text.as_ref().map_or(0, String::len);
        let settlement = if bytes > outcome::MAX_BYTES {
            Settlement { id, outcome: failure::error(&outcome::too_large()), text: None }
        } else {
            Settlement { id, outcome, text }
        };
        self.add(|settled| settled.others.push_back(settlement));
    }

    /// Lets the value behind the first `values` fail, for tests.
    pub(super) fn fail_after(&self, values: u32) {
        locked(&self.settled).fails_after = Some(values);
    }

    /// Takes a bounded part of the settlements. JavaScript is woken again for the rest.
    pub(super) fn hand_over<'env>(&self, env: &'env Env) -> HandedOver<'env> {
        let mut settled = locked(&self.settled);
        let handed = settled.hand_over(env);
        let is_empty = settled.is_empty();
        drop(settled);
        if !is_empty {
            self.waker.wake();
        }
        handed
    }

    fn add(&self, add: impl FnOnce(&mut Settled)) {
        let mut settled = locked(&self.settled);
        let is_first = settled.is_empty();
        add(&mut settled);
        drop(settled);
        if is_first {
            self.waker.wake();
        }
    }
}

impl Settled {
    fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.appends.is_empty() && self.others.is_empty()
    }

    fn append(&mut self, number: u32, outcome: &Outcome) {
        let has_room = |part: &&mut AppendsText| part.elements.len() < PART_BYTES;
        match self.appends.back_mut().filter(has_room) {
            Some(part) => part.push(number, outcome),
            None => {
                let mut part = AppendsText::default();
                part.push(number, outcome);
                self.appends.push_back(part);
            }
        }
    }

    fn hand_over<'env>(&mut self, env: &'env Env) -> HandedOver<'env> {
        let mut handed = HandedOver::default();
        let mut bytes = 0;
        while bytes < HAND_OVER_BYTES
            && let Some(facts) = self.facts.pop_front()
        {
            match self.value(env, &facts) {
                Some(value) => handed.facts.push(value),
                None => {
                    self.facts.push_front(facts);
                    return handed;
                }
            }
            bytes += facts.len();
        }
        if bytes < HAND_OVER_BYTES
            && let Some(mut part) = self.appends.pop_front()
        {
            let value = self.part_value(env, &mut part);
            let value = value.or_else(|| self.part_value(env, &mut part.failed()));
            let Some(value) = value else {
                self.appends.push_front(part);
                return handed;
            };
            bytes += part.elements.len();
            handed.appends = Some(value);
            handed.numbers = part.numbers;
        }
        // A request that comes after an append must not settle before the append.
        while self.appends.is_empty()
            && bytes < HAND_OVER_BYTES
            && let Some(settlement) = self.others.pop_front()
        {
            let made = self.values(env, &settlement.outcome, settlement.text.as_deref());
            let made =
                made.or_else(|| self.values(env, &failure::error(&cannot_hand_over()), None));
            let Some((outcome, text)) = made else {
                self.others.push_front(settlement);
                return handed;
            };
            bytes += settlement.outcome.len() + settlement.text.map_or(0, |text| text.len());
            handed.others.push((settlement.id, outcome, text));
        }
        handed
    }

    fn values<'env>(
        &mut self,
        env: &'env Env,
        outcome: &str,
        text: Option<&str>,
    ) -> Option<(JsString<'env>, Option<JsString<'env>>)> {
        let outcome = self.value(env, outcome)?;
        match text {
            None => Some((outcome, None)),
            Some(text) => Some((outcome, Some(self.value(env, text)?))),
        }
    }

    fn part_value<'env>(
        &mut self,
        env: &'env Env,
        part: &mut AppendsText,
    ) -> Option<JsString<'env>> {
        part.elements.push(b']');
        // The outcomes consist of texts, and of ids whose invalid bytes are escaped.
        let value = self.value(env, &String::from_utf8_lossy(&part.elements));
        part.elements.pop();
        value
    }

    fn value<'env>(&mut self, env: &'env Env, text: &str) -> Option<JsString<'env>> {
        if let Some(left) = &mut self.fails_after {
            if *left == 0 {
                self.fails_after = None;
                return None;
            }
            *left -= 1;
        }
        env.create_string(text).ok()
    }
}

impl AppendsText {
    fn push(&mut self, number: u32, outcome: &Outcome) {
        self.elements.push(if self.numbers.is_empty() { b'[' } else { b',' });
        outcome::append_into(number, outcome, &mut self.elements);
        self.numbers.push(number);
    }

    /// The same appends, each failed. JavaScript cannot know whether their events were written.
    fn failed(&self) -> AppendsText {
        let mut part = AppendsText::default();
        let failed = Outcome::Failed(cannot_hand_over().with_written(Written::Unknown));
        self.numbers.iter().for_each(|number| part.push(*number, &failed));
        part
    }
}

fn cannot_hand_over() -> Error {
    let cause = std::io::Error::other("JavaScript has no room for its text");
    Error::io("the result cannot be handed over", "settle", cause)
}
