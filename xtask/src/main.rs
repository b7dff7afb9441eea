//! Developer commands.
mod generate;
mod workspace;
fn main() -> anyhow::Result<()> {
    generate::run(std::env::args().any(|argument| argument == "--check"))
}
