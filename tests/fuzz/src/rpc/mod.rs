//! What holds for calls: messages as bytes, and two machines between which the input loses, repeats and invents messages.

pub mod message;
pub mod pair;
