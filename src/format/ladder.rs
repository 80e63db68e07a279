//! What is left out of tools so that all of them fit into so many tokens.
//!
//! Each tool goes down a ladder of smaller forms. First every tool loses its outputSchema, the one
//! ranked last first: nobody needs it to make the call. Then, from the last one up, each goes to a
//! bare signature before the next better one is touched. Only when all are signatures do they lose
//! their parameters, again from the last one up. What room is left at the end goes to the best.
//!
//! Invariant: no tool is ever dropped; the result has at most the tokens of the budget, or every
//! tool is at the last rung; the same tools and budget give the same rungs.

use serde::Serialize;

use super::tokens::{self, Family};

/// A form of a tool, from whole to least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// As it is.
    Full,
    /// Without its outputSchema.
    NoOutput,
    /// Without the descriptions that lie deeper than those of its parameters, either.
    Flat,
    /// A sentence, and the parameters' names and types.
    Signature,
    /// Name and a sentence.
    Sentence,
    /// The name.
    Name,
}

use Rung::{Flat, Full, Name, NoOutput, Sentence, Signature};

impl Rung {
    pub(crate) const ALL: [Self; 6] = [Full, NoOutput, Flat, Signature, Sentence, Name];

    /// What such a form is, in a few words.
    pub fn told(self) -> Option<&'static str> {
        match self {
            Full => None,
            NoOutput => Some("no outputSchema"),
            Flat => Some("no outputSchema and no descriptions inside parameters"),
            Signature => Some("only a sentence and the names and types of parameters"),
            Sentence => Some("only the name and a sentence"),
            Name => Some("only the name"),
        }
    }
}

/// How many tokens a result may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Tokens of this family.
    pub tokens: usize,
    /// Whose.
    pub family: Family,
}

/// A result that fits, or has nothing left to leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// The result.
    pub text: String,
    /// The rung of each tool.
    pub rungs: Vec<Rung>,
    /// The tokens of the text in the budget's family; counted only for a budget.
    pub tokens: Option<usize>,
}

/// More tokens than a form may have less among others than alone.
const SEAM: usize = 8;

/// The forms of one tool that were made, with their tokens.
type Forms = [Option<(String, usize)>; Rung::ALL.len()];

/// Fits `count` tools, best first, into `budget`. `render` writes one of them, `join` the result.
pub fn fit(
    count: usize,
    budget: Option<Budget>,
    render: impl Fn(usize, Rung) -> String,
    join: impl Fn(&[&str]) -> String,
) -> Fitted {
    let Some(Budget { tokens: most, family }) = budget else {
        let forms: Vec<String> = (0..count).map(|at| render(at, Full)).collect();
        let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
        return Fitted { text: join(&forms), rungs: vec![Full; count], tokens: None };
    };
    let mut tools =
        Tools { forms: vec![Forms::default(); count], rungs: vec![Full; count], render };
    let most = family.in_o200k(most);
    let (mut text, mut tokens) = (String::new(), usize::MAX);
    // The estimate is of the tokens of single forms, which are kept, and follows the steps; the text
    // is made and counted where it says that all fits: megabytes are not counted for each request.
    let mut estimate: usize = (0..count).map(|at| tools.tokens(at, Full)).sum();
    if estimate <= most.saturating_add(count * SEAM) {
        text = tools.join(&join);
        tokens = tokens::count(&text);
        estimate = tokens;
    }
    for (at, rung) in steps(count) {
        if tokens <= most {
            break;
        }
        let (now, then) = (tools.tokens(at, tools.rungs[at]), tools.tokens(at, rung));
        if then >= now {
            continue;
        }
        tools.rungs[at] = rung;
        estimate = (estimate + then).saturating_sub(now);
        if estimate <= most {
            text = tools.join(&join);
            tokens = tokens::count(&text);
            estimate = tokens;
        }
    }
    if tokens > most {
        // Down to the last rung, or the estimate was never low enough.
        text = tools.join(&join);
        tokens = tokens::count(&text);
    } else {
        (text, tokens) = tools.give_back(most, (text, tokens), &join);
    }
    Fitted { text, rungs: tools.rungs, tokens: Some(family.tokens(tokens)) }
}

/// Which tool goes to which rung, in this order.
fn steps(count: usize) -> impl Iterator<Item = (usize, Rung)> {
    let from_the_last = move |rungs: &'static [Rung]| {
        (0..count).rev().flat_map(move |at| rungs.iter().map(move |rung| (at, *rung)))
    };
    from_the_last(&[NoOutput])
        .chain(from_the_last(&[Flat, Signature]))
        .chain(from_the_last(&[Sentence, Name]))
}

struct Tools<R> {
    forms: Vec<Forms>,
    rungs: Vec<Rung>,
    render: R,
}

impl<R: Fn(usize, Rung) -> String> Tools<R> {
    fn form(&mut self, at: usize, rung: Rung) -> &(String, usize) {
        let render = &self.render;
        self.forms[at][rung as usize].get_or_insert_with(|| {
            let text = render(at, rung);
            let tokens = tokens::count_kept(&text);
            (text, tokens)
        })
    }

    fn tokens(&mut self, at: usize, rung: Rung) -> usize {
        self.form(at, rung).1
    }

    fn join(&mut self, join: &impl Fn(&[&str]) -> String) -> String {
        for at in 0..self.rungs.len() {
            self.form(at, self.rungs[at]);
        }
        let made = self.forms.iter().zip(&self.rungs);
        let texts: Vec<&str> = made
            .filter_map(|(forms, rung)| forms[*rung as usize].as_ref())
            .map(|(text, _)| text.as_str())
            .collect();
        join(&texts)
    }

    /// The best tools go up again as far as there is room.
    fn give_back(
        &mut self,
        most: usize,
        fits: (String, usize),
        join: &impl Fn(&[&str]) -> String,
    ) -> (String, usize) {
        let before = self.rungs.clone();
        let mut room = most - fits.1;
        for at in 0..self.rungs.len() {
            let now = self.rungs[at];
            let has = self.tokens(at, now);
            for better in Rung::ALL.into_iter().take_while(|rung| *rung < now) {
                let more = self.tokens(at, better).saturating_sub(has);
                if more <= room {
                    self.rungs[at] = better;
                    room -= more;
                    break;
                }
            }
        }
        if self.rungs == before {
            return fits;
        }
        let text = self.join(join);
        let tokens = tokens::count(&text);
        if tokens <= most {
            return (text, tokens);
        }
        // Where two forms meet, their tokens are not just added up.
        self.rungs = before;
        fits
    }
}
