//! The life of a web hook.

/// Where a web hook stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The target is being asked whether it wants events.
    Asking,
    /// It did not say so.
    Withheld,
    /// Events may be sent.
    Granted,
    /// A request is out.
    Delivering,
    /// For the next try.
    Waiting,
    /// The target wants nothing any more.
    Gone,
}

/// What changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// The target wants events.
    Grant,
    /// It does not say so.
    Withhold,
    /// There are events.
    Take,
    /// The request is done with; the next may follow.
    Finish,
    /// Not now, or no answer.
    Fail,
    /// The wait is over, and permission is to be asked for.
    Ask,
    /// The wait is over, and permission was given before.
    GoOn,
    /// The target is gone for good.
    End,
}

impl State {
    /// The state after `change`; `None` where it cannot come.
    pub(super) fn after(self, change: Change) -> Option<State> {
        Some(match (self, change) {
            (State::Asking, Change::Grant) => State::Granted,
            (State::Asking, Change::Withhold) => State::Withheld,
            (State::Granted, Change::Take) => State::Delivering,
            (State::Delivering, Change::Finish) => State::Granted,
            (State::Asking | State::Granted | State::Delivering, Change::Fail) => State::Waiting,
            (State::Withheld | State::Waiting, Change::Ask) => State::Asking,
            (State::Waiting, Change::GoOn) => State::Granted,
            (State::Delivering, Change::End) => State::Gone,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            State::Asking => "asking",
            State::Withheld => "withheld",
            State::Granted => "granted",
            State::Delivering => "delivering",
            State::Waiting => "waiting",
            State::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_it_is() {
        let states =
            [State::Asking, State::Withheld, State::Granted, State::Delivering, State::Waiting, State::Gone];
        let changes = [
            Change::Grant,
            Change::Withhold,
            Change::Take,
            Change::Finish,
            Change::Fail,
            Change::Ask,
            Change::GoOn,
            Change::End,
        ];
        let rows = states.map(|state| {
            let row = changes.map(|change| state.after(change).map_or("-", State::name));
            format!("{}: {}", state.name(), row.join(" "))
        });
        let expected = [
            "asking: granted withheld - - waiting - - -",
            "withheld: - - - - - asking - -",
            "granted: - - delivering - waiting - - -",
            "delivering: - - - granted waiting - - gone",
            "waiting: - - - - - asking granted -",
            "gone: - - - - - - - -",
        ];
        assert_eq!(rows, expected);
    }
}
